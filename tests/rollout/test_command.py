"""manage.py rollout: what operators read and do in a terminal."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from django.db.models.functions import Now

from core.access.actors import SYSTEM, Machine
from providers.models import ProviderState
from rollout.decisions.stages import Arm
from rollout.gate import gate, runtime
from rollout.models import Rollout, StagePolicy, Transition
from rollout.operations import lifecycle
from tests.conftest import look

pytestmark = pytest.mark.django_db
NAME = "derived-data"
Capture = pytest.CaptureFixture[str]


def run(*args: str) -> None:
    call_command("rollout", *args)


def document(capsys: Capture, *args: str) -> Any:
    capsys.readouterr()
    run(*args, "--json")
    return json.loads(capsys.readouterr().out)


def traffic(requests: int = 60, errors: int = 0) -> None:
    own = runtime.own()
    look(own.views)
    for number in range(requests):
        gate(NAME).observe(Arm.CANDIDATE, 10.0, is_error=number < errors, is_hit=True, is_same=True)
    own.flush()


def test_status_is_the_contract(fleet: None, capsys: Capture) -> None:
    found = document(capsys, "status")
    told = {"name": NAME, "stage": "DISABLED", "run_state": "idle", "epoch": 0, "percent": 0, "guards": []}
    assert {name: found[name] for name in told} == told
    assert found["providers"] == {"watched": 12, "healthy": 4, "failing": 0, "inactive": 8}
    assert (found["seconds_left"], found["next"]) == (None, "nothing, until somebody starts it")
    run("start", "--pace", "0.5", "--reason", "a trial")
    traffic()
    found = document(capsys, "status", NAME)
    assert 0 <= found["seconds_in_stage"] < 30
    assert 270 < found["seconds_left"] <= 300
    guards = {guard.pop("name"): guard for guard in found["guards"]}
    assert guards["hit_rate"] == {"value": 1.0, "limit": 0.7, "samples": 60, "verdict": "PASS"}
    assert guards["feed_health"]["verdict"] == "PASS"
    assert (found["pace"], found["frozen"]) == (0.5, False)


def test_a_person_reads_it_too(fleet: None, capsys: Capture) -> None:
    run("start")
    ProviderState.objects.filter(provider="stub", sport="NBA").update(status="error")
    traffic(10)
    run("freeze", "--reason", "a holiday")
    capsys.readouterr()
    run("status")
    shown = capsys.readouterr().out
    assert "derived-data  ◔ DARK_MODE  running  0 %  epoch 2" in shown
    assert "hit_rate           100 %      ≥ 70 %       10  INCONCLUSIVE" in shown
    assert "automatic advances are frozen; rollbacks are not" in shown
    assert "providers watched: 12: 3 healthy, 1 failing, 8 inactive" in shown


def test_the_verbs_move_it_and_are_remembered(capsys: Capture) -> None:
    run("start", "--pace", "0.05", "--reason", "a trial")
    run("pause", "--reason", "lunch")
    run("resume")
    traffic()
    run("advance", "--to", "SHADOW_MODE", "--reason", "it is quiet")
    run("abort", "--reason", "wrong odds")
    told = document(capsys, "history")["history"]
    assert [(move["verb"], move["from"], move["to"]) for move in told] == [
        ("abort", "SHADOW_MODE", "DISABLED"),
        ("advance", "DARK_MODE", "SHADOW_MODE"),
        ("resume", "DARK_MODE", "DARK_MODE"),
        ("pause", "DARK_MODE", "DARK_MODE"),
        ("start", "DISABLED", "DARK_MODE"),
    ]
    assert told[0]["reason"] == "wrong odds"
    assert told[0]["actor"].startswith("shell")
    assert (told[-1]["pace"], told[1]["evidence"][0]["verdict"]) == (0.05, "PASS")
    run("history")
    assert "advance  DARK_MODE → SHADOW_MODE" in capsys.readouterr().out


def test_an_approval_from_the_shell(capsys: Capture) -> None:
    StagePolicy.objects.update(needs_approval=True)
    run("start")
    lifecycle.wait(Rollout.objects.get(), [], actor=SYSTEM)
    run("approve", "--reason", "looks good")
    assert Rollout.objects.get().run_state == "running"


def test_after_a_fall_it_says_why(capsys: Capture) -> None:
    Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", percent=100)
    traffic(errors=6)
    found = document(capsys, "status")
    assert found["next"].startswith(
        "back to DISABLED with the next tick: a hard limit fell, with 6 errors; errors 6, limit 5"
    )
    from rollout.control import loop

    loop.tick()
    shown = document(capsys, "status")
    assert shown["run_state"] == "cooling"
    assert "it fell: a hard limit fell, with 6 errors; errors 6, limit 5, on 60: VIOLATION" in shown["next"]
    run("freeze", "--reason", "the finals")
    assert "it fell: a hard limit fell" in document(capsys, "status")["next"], "not the freeze since"
    with pytest.raises(CommandError, match="say with --reason why it may run again"):
        run("start")
    with pytest.raises(CommandError, match="cools down until"):
        run("start", "--reason", "it was the network")
    Rollout.objects.update(cool_down_until=Now() - timedelta(seconds=1))
    run("start", "--reason", "it was the network")
    assert Rollout.objects.get().stage == "DARK_MODE"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["status", "none"], 2, "there is no rollout 'none'; take one of derived-data"),
        (["pause"], 3, "derived-data is idle; to pause it has to be running or waits for approval"),
        (["advance"], 3, "derived-data is disabled; start it: manage.py rollout start"),
        (["abort"], 3, "derived-data is disabled; there is nothing to abort"),
        (["start", "--pace", "0"], 2, "a pace of 0 is none"),
        (["start", "--pace", "nan"], 2, "a pace of nan is none"),
        (["start", "--pace", "-1"], 2, "a pace of -1 is none"),
        (["pause", "--pace", "2"], 2, "--pace says nothing to pause; it belongs to start"),
        (["start", "--watch"], 2, "--watch says nothing to start; it belongs to status"),
        (["freeze", "derived-data"], 2, "freeze is for all rollouts"),
        (["start", "--to", "FULL_ACTIVE"], 2, "--to says nothing to start; it belongs to advance"),
    ],
)
def test_what_cannot_be_done_is_one_line(args: list[str], code: int, said: str) -> None:
    with pytest.raises(CommandError) as refused:
        run(*args)
    assert refused.value.returncode == code
    assert said in str(refused.value)
    assert not Transition.objects.exists()


def test_no_stage_is_skipped() -> None:
    run("start")
    with pytest.raises(CommandError, match="only SHADOW_MODE does: no stage is skipped"):
        run("advance", "--to", "FULL_ACTIVE")
    with pytest.raises(CommandError, match="the guards of derived-data do not pass"):
        run("advance", "--to", "SHADOW_MODE")


def test_watching_shows_each_change_once(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    run("start")
    looks = 0

    def between(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            lifecycle.pause(Rollout.objects.get(), actor=Machine("anna"), reason="")
        if looks == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("rollout.management.commands.rollout.time.sleep", between)
    capsys.readouterr()
    run("status", "--watch")
    shown = capsys.readouterr().out
    assert (shown.count("DARK_MODE  running"), shown.count("DARK_MODE  paused")) == (1, 1)


def test_while_it_is_paused_no_time_runs(capsys: Capture) -> None:
    run("start")
    run("pause")
    Rollout.objects.update(
        percent_entered_at=F("percent_entered_at") - timedelta(minutes=3),
        paused_at=F("paused_at") - timedelta(minutes=2),
    )
    found = document(capsys, "status")
    assert found["seconds_left"] == pytest.approx(540, abs=5)
    assert found["next"] == "it stays: it is paused"
