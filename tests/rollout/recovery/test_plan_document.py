"""Every command of ROLLBACK_PLAN.md is run as it is written there, and in the same order."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from core.access.actors import SYSTEM
from rollout.choices import RunKind
from rollout.models import Activation, RecoveryRun, Rollout, Snapshot
from rollout.recovery import operations
from rollout.recovery.rollback import rehearsal
from tests import databases
from tests.databases import ROOT
from tests.rollout.recovery.conftest import activate_fully, contents

MANAGE = ".venv/bin/python manage.py "


def commands() -> list[str]:
    text = (ROOT / "ROLLBACK_PLAN.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def test_every_command_works(
    installation: None, monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents()
    monkeypatch.setattr(rehearsal, "PREFIX", f"slipway_rehearsal_{os.getpid()}p")
    ran = [run(line, folder) for line in commands()]
    assert len(ran) > 25
    assert {each for each in ran if each} >= {"rollback", "restore", "reactivate", "validate", "snapshot", "rollout"}
    assert contents() == before
    rehearsed = RecoveryRun.objects.get(kind=RunKind.GRADUAL, is_rehearsal=True)
    assert rehearsed.steps.first().name == "PARTIAL_ACTIVE 50 %", "a rehearsal goes the longest way"  # type: ignore[union-attr]
    assert (rehearsed.waived_seconds, rehearsed.has_kept_promise) == (1080, True)
    emergency = RecoveryRun.objects.get(kind=RunKind.EMERGENCY, is_rehearsal=True)
    assert [step.name for step in emergency.steps.order_by("pk")][-2:] == ["undo: put_back", "undo: compare"]
    assert not Activation.objects.switched_off().filter(by="rehearsal").exists()
    names = [name for (name,) in databases.execute("SELECT datname FROM pg_database")]
    assert not any(name.startswith(rehearsal.PREFIX) for name in names), "the copy is dropped"
    assert set(RecoveryRun.objects.exclude(outcome="done").values_list("kind", flat=True)) == set()


def run(line: str, folder: Path) -> str:
    if not line.startswith(MANAGE):
        run_in_shell(line)
        return ""
    words = shlex.split(line.removeprefix(MANAGE))
    if words[0] == "dbshell":
        run_in_shell(f"{EXPORT}; {line}")
        return words[0]
    prepare(words)
    newest = Snapshot.objects.first()
    names = {"SNAPSHOT": newest.name if newest else "", "/path/to/SNAPSHOT": newest.folder if newest else ""}
    emergency = RecoveryRun.objects.filter(kind=RunKind.EMERGENCY, is_rehearsal=False).first()
    names["RUN"] = str(emergency.pk) if emergency else ""
    words = [names.get(word, word) for word in words]
    asks = words[0] in ("rollback", "restore") and not {"--pause", "--resume", "--rehearse"} & set(words)
    slow = ["--pace", "0.001"] if words[:3] == ["rollback", "--level", "gradual"] and asks else []
    call_command(*words, *(["--no-input"] if asks else []), *slow)
    if "--resume" in words:
        operations.execute_run(RecoveryRun.objects.get(ended_at=None))
    return words[0]


def prepare(words: list[str]) -> None:
    """Bring the installation to the state in which an operator types the command."""
    if words[:2] in (["rollout", "abort"], ["rollback", "--level"]) and "--rehearse" not in words:
        if RecoveryRun.objects.rollbacks().not_undone().exclude(kind="gradual"):
            operations.execute_run(operations.undo(actor=SYSTEM))
        activate_fully()
    if "--pause" in words:
        activate_fully()
        operations.roll_back(RunKind.GRADUAL, actor=SYSTEM, pace=0.001)
        operations.recover()
    if words[:2] == ["restore", "--undo"] and not RecoveryRun.objects.rollbacks().not_undone().exclude(kind="gradual"):
        operations.execute_run(operations.roll_back(RunKind.STANDARD, actor=SYSTEM))
    if words[:2] == ["rollout", "start"]:
        Rollout.objects.update(stage="DISABLED", run_state="idle", percent=0)
    if words[:2] == ["rollback", "--purge"]:
        Rollout.objects.update(stage="DISABLED", run_state="idle", percent=0)
        operations.execute_run(operations.roll_back(RunKind.EMERGENCY, actor=SYSTEM))


EXPORT = next(line for line in commands() if line.startswith("export PATH"))


def run_in_shell(line: str) -> None:
    environment = os.environ | {"DATABASE_URL": databases.address(), "REDIS_URL": settings.REDIS_URL}
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    Path(ROOT, "var", "entries.copy").unlink(missing_ok=True)
