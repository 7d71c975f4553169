"""The command `import_game_logs`: its report, its errors and its exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from providers.models import GameLog
from tests.providers.test_game_logs import PLAIN

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fleet(fleet: None) -> None: ...


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "logs.csv"
    path.write_text(PLAIN)
    return path


def test_the_command_reports_what_it_stored(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("import_game_logs", str(file), "--sport", "nba", "--json")
    assert json.loads(capsys.readouterr().out)["created"] == 2
    call_command("import_game_logs", str(file), "--sport", "nba")
    assert "stored 2 game logs of NBA (0 new, 0 changed, 2 unchanged)" in capsys.readouterr().out


def test_the_command_names_bad_rows_and_fails(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(f"{PLAIN}\n2026-01-06,g2,X,x,LAL,F,many,1")
    with pytest.raises(CommandError, match="1 bad row, nothing stored") as caught:
        call_command("import_game_logs", str(file), "--sport", "NBA", "--json")
    out = capsys.readouterr()
    assert caught.value.returncode == 1
    assert "line 4, column points: must be a number (got 'many')" in out.err
    assert json.loads(out.out)["bad"] == [{"line": 4, "column": "points", "reason": "must be a number (got 'many')"}]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["/nowhere.csv", "--sport", "NBA"], "cannot read /nowhere.csv"),
        (["--sport", "NBA"], "must be either FILE or --from-stub"),
        (["{file}", "--sport", "CURLING"], "there is no sport CURLING"),
        (["--from-stub", "--sport", "NBA"], "STUB_FEED_URL is not set"),
        (["{file}", "--sport", "NBA", "--map", "{file}"], "it is not JSON"),
    ],
)
def test_the_command_names_the_problem(arguments: list[str], problem: str, file: Path) -> None:
    with pytest.raises(CommandError, match=problem):
        call_command("import_game_logs", *(argument.format(file=file) for argument in arguments))


def test_it_imports_the_season_of_the_stub_feed(
    stub_feed: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    stub_feed()
    call_command("import_game_logs", "--from-stub", "--sport", "NBA")
    assert "stored 4000 game logs of NBA" in capsys.readouterr().out
    assert GameLog.objects.filter(source="stub", player="LeBron James").count() == 50


def test_it_reports_that_the_stub_feed_does_not_run(settings: Settings) -> None:
    settings.STUB_FEED_URL = "http://127.0.0.1:9"
    with pytest.raises(CommandError, match="does not answer"):
        call_command("import_game_logs", "--from-stub", "--sport", "NBA")
