"""manage.py rollout: what operators read and do in a terminal."""

import json
import math
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from django.db.models.functions import Now

from core.access.actors import SYSTEM, Machine
from providers.models import ProviderState
from rollout.control import loop
from rollout.decisions.stages import Arm
from rollout.gate import gate, runtime
from rollout.models import Rollout, StagePolicy, Transition
from rollout.operations import lifecycle
from tests.conftest import look

pytestmark = pytest.mark.django_db
NAME = "derived-data"
HARD_LIMIT = "the hard limit of errors was exceeded, with 6 errors"
Capture = pytest.CaptureFixture[str]


def run(*args: str) -> None:
    call_command("rollout", *args)


def document(capsys: Capture, *args: str) -> Any:
    capsys.readouterr()
    run(*args, "--json")
    return json.loads(capsys.readouterr().out)


def traffic(requests: int = 60, errors: int = 0) -> None:
    shared = runtime.shared()
    look(shared.states)
    for number in range(requests):
        gate(NAME).observe(Arm.CONTROL, 10.0)
        gate(NAME).observe(Arm.CANDIDATE, 10.0, is_error=number < errors, is_hit=True, is_same=True)
    shared.flush()


def test_the_status_document_is_a_contract(fleet: None, capsys: Capture) -> None:
    status = document(capsys, "status")
    expected = {"name": NAME, "stage": "DISABLED", "run_state": "idle", "epoch": 0, "percent": 0, "guards": []}
    assert {name: status[name] for name in expected} == expected
    assert status["providers"] == {"watched": 12, "healthy": 4, "failing": 0, "inactive": 8}
    waiting = "nothing until an operator starts it: manage.py rollout start derived-data"
    assert (status["seconds_left"], status["next"]) == (None, waiting)
    run("start", "--pace", "0.5", "--reason", "a trial")
    traffic()
    status = document(capsys, "status", NAME)
    assert 0 <= status["seconds_in_stage"] < 30
    assert 270 < status["seconds_left"] <= 300
    assert [guard["name"] for guard in status["guards"]] == ["traffic", "errors", "p95_ms", "hit_rate", "feed_health"]
    guards = {guard.pop("name"): guard for guard in status["guards"]}
    assert 0.8 < guards["hit_rate"].pop("bound") < 0.9
    figures = {"value": 1.0, "control": None, "limit": 0.7, "samples": 60, "needed": 50}
    assert guards["hit_rate"] == figures | {"verdict": "PASS", "note": ""}
    assert guards["feed_health"]["verdict"] == "PASS"
    assert (status["pace"], status["frozen"]) == (0.5, False)
    assert status["holds"] == "It stays in Dark mode for 5 more minutes"


def test_an_operator_reads_the_status_in_a_terminal(fleet: None, capsys: Capture) -> None:
    run("start")
    ProviderState.objects.filter(provider="stub", sport="NBA").update(status="error")
    traffic(10)
    run("freeze", "--reason", "a holiday")
    capsys.readouterr()
    run("status")
    text = capsys.readouterr().out
    assert "derived-data  ◔ DARK_MODE  running  0 %  epoch 2" in text
    assert "hit_rate           100 %         –          ≥ 70 %       10  INCONCLUSIVE" in text
    rest = "automatic advances are frozen: manage.py rollout unfreeze; the traffic needs 40 more requests"
    assert f"holds: It stays in Dark mode for 10 more minutes; {rest}" in text
    assert "automatic advances are frozen; guards still take rollouts back" in text
    assert "providers watched: 12: 3 healthy, 1 failing, 8 inactive" in text


def test_the_verbs_move_it_and_are_recorded(capsys: Capture) -> None:
    run("start", "--pace", "0.05", "--reason", "a trial")
    run("pause", "--reason", "lunch")
    run("resume")
    traffic()
    run("advance", "--to", "SHADOW_MODE", "--reason", "a quiet night")
    run("abort", "--reason", "wrong odds")
    history = document(capsys, "history")["history"]
    assert [(transition["verb"], transition["from"], transition["to"]) for transition in history] == [
        ("abort", "SHADOW_MODE", "DISABLED"),
        ("advance", "DARK_MODE", "SHADOW_MODE"),
        ("resume", "DARK_MODE", "DARK_MODE"),
        ("pause", "DARK_MODE", "DARK_MODE"),
        ("start", "DISABLED", "DARK_MODE"),
    ]
    assert history[0]["reason"] == "wrong odds"
    assert history[0]["actor"].startswith("shell")
    assert (history[-1]["pace"], history[1]["evidence"][0]["verdict"]) == (0.05, "PASS")
    run("history")
    assert "advance  DARK_MODE → SHADOW_MODE" in capsys.readouterr().out


def test_an_operator_approves_in_the_terminal(capsys: Capture) -> None:
    StagePolicy.objects.update(needs_approval=True)
    run("start")
    lifecycle.wait(Rollout.objects.get(), [], actor=SYSTEM)
    run("approve", "--reason", "looks good")
    assert Rollout.objects.get().run_state == "running"


def test_the_status_in_a_terminal_has_the_notes_of_the_guards(capsys: Capture) -> None:
    Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", percent=100)
    traffic()
    for _ in range(2):
        gate(NAME).observe(Arm.CANDIDATE, math.nan)
    runtime.shared().flush()
    run("status")
    assert "ERROR: 2 observations of candidate were dropped" in capsys.readouterr().out


def test_after_a_trip_the_status_gives_the_reason(capsys: Capture) -> None:
    Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", percent=100)
    traffic(errors=6)
    status = document(capsys, "status")
    assert status["next"].startswith(f"go back to DISABLED at the next tick: {HARD_LIMIT}; errors 6 (limit ≤ 5, ")
    loop.tick()
    status = document(capsys, "status")
    assert status["run_state"] == "cooling"
    assert f"it tripped: {HARD_LIMIT}; errors 6 (limit ≤ 5, 60 samples): VIOLATION" in status["next"]
    assert "may start it again in 14 min: manage.py rollout start derived-data --reason WHY" in status["next"]
    run("freeze", "--reason", "the finals")
    assert f"it tripped: {HARD_LIMIT}" in document(capsys, "status")["next"], "not the freeze since"
    with pytest.raises(CommandError, match="give the reason why it may run again with --reason"):
        run("start")
    with pytest.raises(CommandError, match="cools down until"):
        run("start", "--reason", "it was the network")
    Rollout.objects.update(cool_down_until=Now() - timedelta(seconds=1))
    run("start", "--reason", "it was the network")
    assert Rollout.objects.get().stage == "DARK_MODE"


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["status", "none"], 2, "cannot find a rollout 'none'; choose one of: derived-data"),
        (["pause"], 3, "cannot pause derived-data: it is idle, not running or waiting; run: manage.py rollout status"),
        (["advance"], 3, "cannot advance derived-data: it is disabled; run: manage.py rollout start derived-data"),
        (["abort"], 3, "cannot abort derived-data: it is disabled already; run: manage.py rollout status derived-data"),
        (["start", "--pace", "0"], 2, "pace must be greater than 0 and at most 10 (got 0)"),
        (["start", "--pace", "nan"], 2, "pace must be greater than 0 and at most 10 (got nan)"),
        (["start", "--pace", "-1"], 2, "pace must be greater than 0 and at most 10 (got -1)"),
        (["pause", "--pace", "2"], 2, "cannot use --pace with pause; it is an option of start"),
        (["start", "--watch"], 2, "cannot use --watch with start; it is an option of status"),
        (["freeze", "derived-data"], 2, "freeze applies to all rollouts"),
        (["start", "--to", "FULL_ACTIVE"], 2, "cannot use --to with start; it is an option of advance"),
    ],
)
def test_a_refusal_is_one_line_with_a_remedy(args: list[str], code: int, message: str) -> None:
    with pytest.raises(CommandError) as refused:
        run(*args)
    assert refused.value.returncode == code
    assert message in str(refused.value)
    assert not Transition.objects.exists()


def test_no_stage_is_skipped() -> None:
    run("start")
    with pytest.raises(CommandError, match="no stage is skipped; use --to SHADOW_MODE"):
        run("advance", "--to", "FULL_ACTIVE")
    with pytest.raises(CommandError, match="cannot advance derived-data: its guards do not pass"):
        run("advance", "--to", "SHADOW_MODE")


def test_watching_shows_each_change_once(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    run("start")
    looks = 0

    def between_looks(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            lifecycle.pause(Rollout.objects.get(), actor=Machine("anna"), reason="")
        if looks == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("rollout.management.commands.rollout.time.sleep", between_looks)
    capsys.readouterr()
    run("status", "--watch")
    text = capsys.readouterr().out
    assert (text.count("DARK_MODE  running"), text.count("DARK_MODE  paused")) == (1, 1)


def test_while_it_is_paused_no_time_passes(capsys: Capture) -> None:
    run("start")
    run("pause")
    Rollout.objects.update(
        percent_entered_at=F("percent_entered_at") - timedelta(minutes=3),
        paused_at=F("paused_at") - timedelta(minutes=2),
    )
    status = document(capsys, "status")
    assert status["seconds_left"] == pytest.approx(540, abs=5)
    assert status["next"] == "stay in DARK_MODE: the rollout is paused; run: manage.py rollout resume derived-data"
