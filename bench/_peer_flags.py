"""The peers of a gate's decision. Each decides from memory, without a network: whether the key is among 25 percent."""

import tempfile
from collections.abc import Callable
from typing import Any

NAME, SHARE = "derived-data", 25
Decide = Callable[[str], bool]


def flagsmith() -> Decide:
    from flag_engine.engine import get_evaluation_result

    split = {"type": "ALL", "conditions": [{"property": "", "operator": "PERCENTAGE_SPLIT", "value": str(SHARE)}]}
    feature = {"key": "1", "name": NAME, "enabled": False, "value": None}
    segment = {"key": "1", "name": "early", "rules": [split], "overrides": [feature | {"enabled": True}]}
    fixed = {"environment": {"key": "e", "name": "e"}, "features": {NAME: feature}, "segments": {"1": segment}}

    def decide(key: str) -> bool:
        context: Any = {**fixed, "identity": {"identifier": key, "key": key}}
        return bool(get_evaluation_result(context)["flags"][NAME]["enabled"])

    return decide


def growthbook() -> Decide:
    from growthbook import GrowthBook

    rule = {"force": True, "coverage": SHARE / 100, "hashAttribute": "id"}
    book = GrowthBook(features={NAME: {"defaultValue": False, "rules": [rule]}})

    def decide(key: str) -> bool:
        book.set_attributes({"id": key})
        return bool(book.is_on(NAME))

    return decide


def openfeature() -> Decide:
    """Return a decision by the in-memory provider. Without shares, every key gets the same answer: less work."""
    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

    api.set_provider(InMemoryProvider({NAME: InMemoryFlag("on", {"on": True, "off": False})}))
    client = api.get_client()
    return lambda key: bool(client.get_boolean_value(NAME, False, EvaluationContext(key)))


def unleash() -> Decide:
    from UnleashClient import UnleashClient
    from UnleashClient.cache import FileCache

    parameters = {"rollout": str(SHARE), "stickiness": "userId", "groupId": NAME}
    feature = {
        "name": NAME,
        "type": "release",
        "enabled": True,
        "strategies": [{"name": "flexibleRollout", "parameters": parameters, "constraints": []}],
    }
    cache = FileCache("bench", directory=tempfile.mkdtemp())
    cache.bootstrap_from_dict({"version": 1, "features": [feature]})
    client = UnleashClient("http://127.0.0.1:9", "bench", cache=cache, disable_metrics=True, disable_registration=True)
    client.initialize_client(fetch_toggles=False)
    return lambda key: bool(client.is_enabled(NAME, {"userId": key}))


def waffle() -> Decide:
    """Return a decision by django-waffle. It is sticky by cookie; without one it draws at random, which is measured."""
    from django.core.cache import cache
    from django.test import RequestFactory
    from waffle import flag_is_active
    from waffle.models import Flag

    flag = Flag(pk=1, name=NAME, percent=SHARE)
    cache.set(Flag._cache_key(NAME), flag)
    factory = RequestFactory()
    requests: dict[str, Any] = {}

    def decide(key: str) -> bool:
        request: Any = requests.get(key)
        if request is None:
            request = requests[key] = factory.get("/")
        request.waffles = {}
        return bool(flag_is_active(request, NAME))

    return decide


PEERS = {
    "flagsmith-flag-engine": flagsmith,
    "growthbook": growthbook,
    "openfeature-sdk, in memory": openfeature,
    "UnleashClient": unleash,
    "django-waffle": waffle,
}
