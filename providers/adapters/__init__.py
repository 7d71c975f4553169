"""One module per API an upstream can speak, chosen by `Provider.adapter`."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from providers.adapters import odds_api
from providers.choices import Adapter
from providers.feed import Answer, Claim
from providers.fetch import Caller


@dataclass(frozen=True, slots=True)
class Upstream:
    sports: Collection[str]
    poll: Callable[[Claim, Caller], Awaitable[Answer]]


POLLERS: dict[str, Upstream] = {Adapter.ODDS_API: Upstream(odds_api.SPORT_KEYS, odds_api.poll)}
