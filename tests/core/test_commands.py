"""Every command reports an error as one line with a remedy, and ends with an exit code instead of a traceback."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from core.commands import SlipwayCommand
from core.errors import Refused, WrongInput


def command(raised: Exception | None = None) -> SlipwayCommand:
    class Command(SlipwayCommand):
        def handle(self, *args: Any, **options: Any) -> None:
            if raised:
                raise raised
            self.report({"answer": 42}, "The answer is 42.")

    return Command()


@pytest.mark.parametrize(
    ("raised", "line", "code"),
    [
        (Refused("it may not", "ask"), "it may not; ask", 3),
        (WrongInput("it is wrong", "correct it"), "it is wrong; correct it", 2),
        (OperationalError("gone\nDETAIL: away"), "cannot query the database: gone; check /readyz", 3),
        (ZeroDivisionError("oh"), "unexpected ZeroDivisionError: oh; add --traceback to see its origin", 3),
        (ValueError("at ?apiKey=abc"), "unexpected ValueError: at ?apiKey=***; add --traceback to see its origin", 3),
    ],
)
def test_an_error_is_one_line_and_a_code(raised: Exception, line: str, code: int) -> None:
    with pytest.raises(CommandError) as caught:
        call_command(command(raised))
    assert str(caught.value) == line
    assert caught.value.returncode == code


def test_it_reports_as_text_and_as_json() -> None:
    text, document = StringIO(), StringIO()
    call_command(command(), stdout=text)
    call_command(command(), "--json", stdout=document)
    assert text.getvalue() == "The answer is 42.\n"
    assert json.loads(document.getvalue()) == {"answer": 42}


@pytest.mark.parametrize("name", ["bootstrap", "backfill_providers", "poll_providers", "stub_feed"])
def test_its_help_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        call_command(name, "--help")
    assert caught.value.code == 0
    assert f"Example: manage.py {name}" in " ".join(capsys.readouterr().out.split())
