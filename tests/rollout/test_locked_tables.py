"""A tick while another session holds a lock: it neither waits for it for long, nor do other rollouts."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from core.access.actors import Machine
from core.errors import Refused
from core.redis import client
from rollout.control.loop import tick
from rollout.decisions.stages import Arm
from rollout.gate import gate, heartbeat, runtime
from rollout.gate.marks import blind_key
from rollout.models import GuardReading, Rollout, Transition, VisitEvidence
from rollout.operations import lifecycle, policies
from tests.conftest import committed, look
from tests.rollout.outages import locked, locked_row

ANNA = Machine("anna")
NAMES = ("derived-data", "odds-a", "odds-b")


@pytest.fixture
def running(transactional_db: None) -> dict[str, Rollout]:
    """Three rollouts in DARK_MODE that the next tick advances."""
    for name in NAMES[1:]:
        policies.create_rollout(name, actor=ANNA)
    for name in NAMES:
        lifecycle.start(Rollout.objects.get(name=name), actor=ANNA, reason="")
    past = Now() - timedelta(hours=1)
    Rollout.objects.update(percent_entered_at=past, stage_entered_at=past)
    count_requests()
    return {rollout.name: rollout for rollout in Rollout.objects.all()}


def count_requests() -> None:
    shared = runtime.shared()
    look(shared.states)
    for name in NAMES:
        for _ in range(60):
            gate(name).observe(Arm.CANDIDATE, 10.0, is_hit=True, is_same=True)
    shared.flush()


def stages() -> dict[str, str]:
    return dict(Rollout.objects.order_by("name").values_list("name", "stage"))


def blind() -> set[str]:
    return {name for name in NAMES if client().exists(blind_key(name))}


def reports(caplog: pytest.LogCaptureFixture) -> list[str]:
    entries = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    return sorted(entry["rollout"] for entry in entries if entry["event"].startswith("cannot judge a rollout"))


@committed
@pytest.mark.parametrize("table", ["rollout_stagepolicy", "rollout_guardpolicy", "rollout_visitevidence"])
def test_while_a_table_that_rollouts_are_judged_by_is_locked_their_gates_answer_control(
    running: dict[str, Rollout], table: str, caplog: pytest.LogCaptureFixture
) -> None:
    with locked(table):
        assert tick() == 0
        assert reports(caplog) == sorted(NAMES)
        assert blind() == set(NAMES)
        assert heartbeat.is_fresh()
    assert tick() == 3


@committed
@pytest.mark.parametrize("table", ["rollout_rollout", "rollout_visitevidence"])
def test_a_lock_on_one_rollout_does_not_delay_the_others(
    running: dict[str, Rollout], table: str, caplog: pytest.LogCaptureFixture
) -> None:
    tick_without_moving()
    key = "id" if table == "rollout_rollout" else "rollout_id"
    with locked_row(table, **{key: running["odds-a"].pk}):
        assert tick() == 2
        assert stages() == {"derived-data": "SHADOW_MODE", "odds-a": "DARK_MODE", "odds-b": "SHADOW_MODE"}
        assert reports(caplog) == ["odds-a"]
        assert blind() == {"odds-a"}
    later()
    assert tick() == 1


def tick_without_moving() -> None:
    """Let a tick store the records of the visits, which a later tick continues."""
    lifecycle.freeze(actor=ANNA, reason="")
    assert tick() == 0
    lifecycle.unfreeze(actor=ANNA, reason="")
    later()


def later() -> None:
    earlier = {name: F(name) - timedelta(seconds=5) for name in ("judged_at", "read_at")}
    VisitEvidence.objects.update(**earlier)


@committed
def test_a_rollout_trips_while_the_readings_are_locked(running: dict[str, Rollout]) -> None:
    shared = runtime.shared()
    for _ in range(6):
        gate("odds-a").observe(Arm.CANDIDATE, 1.0, is_error=True)
    shared.flush()
    with locked("rollout_guardreading"):
        assert tick() == 3
    assert stages() == {"derived-data": "SHADOW_MODE", "odds-a": "DISABLED", "odds-b": "SHADOW_MODE"}
    assert not GuardReading.objects.exists()  # they are for the charts alone
    assert blind() == set()


@committed
def test_a_rollout_whose_history_is_locked_is_not_moved_and_answers_control(running: dict[str, Rollout]) -> None:
    with locked("rollout_transition"):
        assert tick() == 0
        assert blind() == set(NAMES)
    assert not Transition.objects.filter(verb="advance").exists()
    later()
    assert tick() == 3


@committed
def test_a_verb_does_not_wait_for_a_locked_row(running: dict[str, Rollout]) -> None:
    seen = running["odds-a"]
    expected = pytest.raises(Refused, match="cannot pause odds-a: its row cannot be used")
    with locked_row("rollout_rollout", id=seen.pk), expected:
        lifecycle.pause(seen, actor=ANNA, reason="")
    lifecycle.pause(seen, actor=ANNA, reason="")
