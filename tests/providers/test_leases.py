"""Claims in any order of workers and time: never two leases at once, no starved slot, no late write."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.choices import PollOutcome
from providers.fleet import health
from providers.fleet.backfill import Scope
from providers.models import PollSlot, ProviderState
from providers.polling.claims import claim_due, release
from providers.polling.ingest import store_poll
from providers.upstream.messages import Call, Claim, Poll

pytestmark = pytest.mark.django_db
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), st.integers(0, 2)),
        st.tuples(st.just("good"), st.integers(0, 2)),
        st.tuples(st.just("bad"), st.integers(0, 2)),
        st.tuples(st.just("release"), st.integers(0, 2)),
        st.tuples(st.just("wait"), st.integers(1, 1000)),
    ),
    max_size=25,
)


def wait(seconds: int) -> None:
    """Move the rows instead of the database's clock: every moment in them comes so much nearer."""
    by = timedelta(seconds=seconds)
    PollSlot.objects.update(next_poll_at=F("next_poll_at") - by, lease_until=F("lease_until") - by)


def polled(claim: Claim, *, is_good: bool) -> Poll:
    outcome = PollOutcome.OK if is_good else PollOutcome.HTTP_ERROR
    return Poll((Call("/odds", claim.deadline, 1.0, outcome),), problem="" if is_good else "no", is_good=is_good)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_leases_hold_in_any_order_of_steps(fleet: None, steps: list[tuple[str, Any]]) -> None:
    with transaction.atomic():
        play(steps)
        transaction.set_rollback(True)


def play(steps: list[tuple[str, Any]]) -> None:
    """Let three workers use one slot. Only the newest claim can write, and only until it is finished."""
    held: dict[int, Claim] = {}
    newest = 0
    slot = PollSlot.objects.get(base_url="", sport="NBA")
    for step, value in steps:
        if step == "wait":
            wait(value)
        elif step == "claim":
            leased = PollSlot.objects.filter(base_url="", sport="NBA", lease_until__gte=Now()).exists()
            claims = claim_due(scope=Scope("stub", "NBA"))
            assert not (claims and leased)  # never two leases at a time
            for claim in claims:
                assert claim.fence > newest
                newest, held[value] = claim.fence, claim
        elif value in held:
            claim = held.pop(value)
            if step == "release":
                release(claim)
            else:
                assert store_poll(claim, polled(claim, is_good=step == "good")) == (claim.fence == newest)
        slot = PollSlot.objects.get(base_url="", sport="NBA")
        assert 0 <= slot.backoff_level <= health.highest_level(slot.interval_seconds)
        assert slot.next_poll_at is not None
    # Never starved: after the longest wait and lease the slot can be claimed, after any steps.
    wait(1000)
    assert len(claim_due(scope=Scope("stub", "NBA"))) == 1
    state = ProviderState.objects.get(provider="stub", sport="NBA")
    assert (state.status == "error") == (slot.backoff_level > 0)
