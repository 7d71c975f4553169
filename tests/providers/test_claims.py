"""Claims of slots: which worker gets one, for how long, and what a late worker can still do."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from providers.choices import Status
from providers.fleet.backfill import Scope
from providers.models import PollSlot, ProviderState
from providers.polling import schedule
from providers.polling.claims import claim_due, release
from providers.polling.ingest import store_poll
from providers.upstream.messages import Claim, Poll
from rollout.models import Activation
from tests.conftest import committed

STUB = Scope(provider="stub")


def put_off(by: timedelta) -> None:
    PollSlot.objects.update(next_poll_at=Now() + by)


def claim_one() -> Claim:
    [claim] = claim_due(scope=Scope("stub", "NBA"))
    return claim


def test_it_claims_every_slot_that_is_due(fleet: None) -> None:
    claims = claim_due()
    assert {(claim.source, claim.sport) for claim in claims} == {
        (source, sport) for source in ("stub", "odds_api") for sport in ("MLB", "NBA", "NFL", "NHL")
    }
    assert all(set(c.members) == ({"stub"} if c.source == "stub" else {"draftkings", "fanduel"}) for c in claims)


def test_it_claims_slots_that_fall_due_before_the_next_tick(fleet: None) -> None:
    put_off(timedelta(seconds=7))
    claims = claim_due(scope=STUB)
    assert len(claims) == 4
    assert all(7 <= claim.due_in_seconds < 8 for claim in claims)


def test_it_leaves_slots_that_are_due_later(fleet: None) -> None:
    put_off(timedelta(seconds=9))
    assert claim_due() == []


def test_it_leaves_slots_that_another_worker_has(fleet: None) -> None:
    assert len(claim_due()) == 8
    assert claim_due() == []


def test_it_claims_a_slot_again_after_its_lease(fleet: None) -> None:
    first = claim_one()
    PollSlot.objects.update(lease_until=Now() - timedelta(seconds=1))
    assert claim_one().fence == first.fence + 1


def test_it_holds_the_lease_for_the_whole_poll(fleet: None) -> None:
    claim = claim_one()
    slot = PollSlot.objects.annotate(now=Now()).get(pk=claim.slot)
    assert slot.lease_until is not None
    assert slot.lease_until - slot.now > timedelta(seconds=8 + claim.timeout_seconds)


def test_a_released_slot_can_be_claimed_again(fleet: None) -> None:
    claim = claim_one()
    release(claim)
    assert claim_one().fence == claim.fence + 1


def test_a_worker_paused_past_its_lease_cannot_write(state: ProviderState) -> None:
    late = claim_one()
    PollSlot.objects.update(lease_until=Now() - timedelta(seconds=1))
    in_time = claim_one()
    assert not store_poll(late, Poll(problem="from the past"))
    assert store_poll(in_time, Poll(problem="from now"))
    state.refresh_from_db()
    assert state.last_error == "from now"


def test_it_claims_nothing_while_polling_is_switched_off(fleet: None) -> None:
    Activation.objects.filter(part="polling").update(is_on=False)
    assert claim_due(everything=True) == []


def test_it_stores_nothing_once_polling_is_switched_off(state: ProviderState) -> None:
    claim = claim_one()
    Activation.objects.filter(part="polling").update(is_on=False)
    assert not store_poll(claim, Poll(problem="too late"))
    state.refresh_from_db()
    assert state.last_error == ""


def test_it_polls_no_state_in_maintenance(fleet: None) -> None:
    ProviderState.objects.filter(provider="fanduel").update(status=Status.MAINTENANCE)
    members = [set(claim.members) for claim in claim_due() if claim.source != "stub"]
    assert members == [{"draftkings"}] * 4


@pytest.mark.parametrize("late", [0.5, 299.5, 300.5, 3000.5])
def test_a_slot_stays_on_its_grid_and_no_missed_poll_is_repeated(fleet: None, late: float) -> None:
    put_off(timedelta(seconds=-late))
    claim = claim_one()
    store_poll(claim, Poll(problem="none"))
    slot = PollSlot.objects.annotate(now=Now()).get(pk=claim.slot)
    assert slot.lease_until is None
    assert slot.next_poll_at is not None
    assert 0 < (slot.next_poll_at - slot.now).total_seconds() <= 450
    off_grid = (slot.next_poll_at.timestamp() - schedule.grid_share(claim.name) * 300 + 1) % 300 - 1
    assert off_grid == pytest.approx(0, abs=1e-3)


def test_a_poll_that_came_a_little_early_is_not_made_again(fleet: None) -> None:
    """Clocks differ by milliseconds, and an upstream may answer in less than that."""
    put_off(timedelta(milliseconds=300))
    claim = claim_one()
    store_poll(claim, Poll(problem="none"))
    slot = PollSlot.objects.get(pk=claim.slot)
    assert slot.next_poll_at is not None
    assert slot.next_poll_at > claim.deadline + timedelta(seconds=100)


@committed
def test_two_workers_never_get_the_same_slot(fleet: None) -> None:
    """Both workers claim at the same moment, a thousand times; before each time all slots are made free."""
    barrier = threading.Barrier(2)

    def claim_all() -> list[list[int]]:
        try:
            slots = []
            for _ in range(1000):
                if barrier.wait(30) == 0:
                    PollSlot.objects.update(lease_until=None)
                barrier.wait(30)
                slots.append([claim.slot for claim in claim_due()])
            return slots
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        workers = [pool.submit(claim_all) for _ in range(2)]
        first, second = (worker.result() for worker in workers)
    for of_first, of_second in zip(first, second, strict=True):
        assert len({*of_first, *of_second}) == len(of_first) + len(of_second) == 8
