"""`manage.py check` fails for an admin action without a permission or a confirmation."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.core.checks import run_checks

from config.console.checks import actions_are_guarded
from core.console.actions import verb
from core.console.admin import SlipwayAdmin
from providers.models import Sport
from tests.databases import ROOT


def test_the_actions_of_slipway_are_guarded() -> None:
    assert actions_are_guarded(None) == []


@pytest.fixture
def careless_page() -> Iterator[None]:
    """Register a page with one guarded and one unguarded action."""

    def wipe(model_admin: object, request: object, rows: object) -> None: ...

    guarded = verb(lambda rows, /, *, actor: 0, label="Wipe", permission="a.b", consequence="All rows are deleted.")
    admin.site.register(Sport, type("Careless", (SlipwayAdmin,), {"actions": [guarded, wipe]}))
    yield
    admin.site.unregister(Sport)


def test_an_unguarded_action_is_an_error(careless_page: None) -> None:
    [error] = [error for error in run_checks(tags=["admin"]) if error.id == "slipway.E001"]
    assert error.msg == "Careless.wipe lacks a permission or a confirmation"


def test_it_checks_only_the_pages_that_the_admin_keeps() -> None:
    """The URL configuration removes pages of libraries. It is loaded first, in any order of the system checks."""
    code = (
        "from config.startup import start; start(); import django; django.setup(); from config.console import checks; "
    )
    code += "print(checks.actions_are_guarded(None))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
