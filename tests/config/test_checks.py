"""manage.py check sees to it that no admin action is unguarded."""

import subprocess
import sys
from typing import Any

import pytest
from django.contrib import admin
from django.core.checks import run_checks

from config.console.checks import actions_are_guarded
from core.console.actions import verb
from core.console.admin import SlipwayAdmin
from providers.models import Sport
from tests.databases import ROOT


def test_those_that_come_with_slipway_are() -> None:
    assert actions_are_guarded(None) == []


def test_one_that_is_not_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def wipe(model_admin: object, request: object, rows: object) -> None: ...

    guarded = verb(lambda rows, /, *, actor: 0, label="Wipe", permission="a.b", consequence="All goes.")
    careless = type("Careless", (SlipwayAdmin,), {"actions": [guarded, wipe]})
    registry: Any = admin.site._registry
    monkeypatch.setitem(registry, Sport, careless(Sport, admin.site))
    [found] = [error for error in run_checks(tags=["admin"]) if error.id == "slipway.E001"]
    assert found.msg == "Careless.wipe lacks a permission or a confirmation"


def test_it_looks_at_what_the_admin_shows() -> None:
    """And not at what is taken out of it as the addresses are made, in whichever order checks come."""
    code = (
        "from config.startup import start; start(); import django; django.setup(); from config.console import checks; "
    )
    code += "print(checks.actions_are_guarded(None))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
