"""The code of docs/gate.md walks through all stages on its own traffic, with the policies of a new rollout."""

from collections.abc import Callable

from core.access.actors import SYSTEM
from rollout.choices import Guard
from rollout.gate import gate
from rollout.models import GuardPolicy
from rollout.operations import policies
from tests.conftest import committed
from tests.docs.blocks import titled
from tests.rollout.walks import WALKED, walk

NAME = "new-odds"


def elsewhere() -> Callable[[str], object]:
    """Return the application of `elsewhere.py`: a function that runs the file for the account with this key."""
    text = titled("elsewhere.py").text
    assert '"account-7"' in text
    return lambda key: exec(compile(text.replace('"account-7"', repr(key)), "elsewhere.py", "exec"), {})  # noqa: S102


@committed
def test_code_that_decides_and_observes_elsewhere_becomes_fully_active() -> None:
    policies.create_rollout(NAME, actor=SYSTEM)
    assert walk(NAME, elsewhere()) == WALKED


def bare(key: str) -> object:
    """Call an application whose arms return bare values, without a cache and without a probe."""
    return gate(NAME).run(key, control=lambda: 2.0, candidate=lambda: 2.0)


@committed
def test_code_without_a_cache_becomes_fully_active() -> None:
    policies.create_rollout(NAME, actor=SYSTEM)
    assert walk(NAME, bare) == WALKED


@committed
def test_code_without_a_cache_and_without_the_guard_hit_rate_becomes_fully_active() -> None:
    rollout = policies.create_rollout(NAME, actor=SYSTEM)
    guards = list(GuardPolicy.objects.filter(policy__rollout=rollout, guard=Guard.HIT_RATE).select_related("policy"))
    for guard in guards:
        guard.is_on = False
    policies.save_policies(guards, actor=SYSTEM)
    assert walk(NAME, bare) == WALKED
