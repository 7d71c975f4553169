"""Every piece of code in the documentation runs as it is printed there."""

import asyncio
import contextlib
import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection

from caching.models import CacheTarget
from core import health_checks
from core.access.actors import SYSTEM
from providers.models import PropLine, ProviderState
from rollout.gate import runtime
from rollout.operations import policies
from tests.conftest import look
from tests.databases import ROOT
from tests.docs.blocks import blocks, titled

TESTED_HERE = {"elsewhere.py", "consumer.py", "asynchronous.py", "test_pricing.py"}


def run(title: str, **names: Any) -> dict[str, Any]:
    """Run the block with this title, with these names defined. Return all names that are defined afterwards."""
    namespace: dict[str, Any] = {"__name__": "documented"} | names
    exec(compile(titled(title).text, title, "exec"), namespace)  # noqa: S102 - the project's own text
    return namespace


def test_no_piece_of_python_is_left_out() -> None:
    titles = {block.title for block in blocks("python")}
    others = {title for title in titles if not title.startswith("acme-slipway/")}  # test_package.py runs those
    assert others == TESTED_HERE


def test_the_public_imports_exist() -> None:
    statements = re.findall(r"`(from [\w.]+ import [\w, ]+)`", (ROOT / "docs" / "package.md").read_text())
    assert len(statements) == 8
    for statement in statements:
        exec(statement, {})  # noqa: S102 - the project's own text


def test_a_gate_that_is_asked_elsewhere(installation: None) -> None:
    policies.create_rollout("new-odds", actor=SYSTEM)
    look(runtime.shared().states)
    run("elsewhere.py")


def test_a_gate_in_asynchronous_code(installation: None) -> None:
    policies.create_rollout("new-odds", actor=SYSTEM)
    look(runtime.shared().states)
    assert asyncio.run(run("asynchronous.py")["price"]("account-7")) == 1.9


def test_a_test_that_forces_an_arm() -> None:
    run("test_pricing.py")["test_the_candidate"]()


def test_a_check_for_other_data(
    installation: None, stub_feed: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    run("checks.py")
    try:
        stub_feed()
        call_command("poll_providers", "--once", "--provider", "stub")
        assert PropLine.objects.count() > 1000
        assert check_status(capsys) == "PASS", "for the lines of the stub feed"
        state = ProviderState.objects.get(provider="stub", sport="NBA")
        PropLine.objects.create(state=state, bookmaker="b", market="spreads", point=-3.5, price=0)
        assert check_status(capsys) == "FAIL"
    finally:
        health_checks.unregister("no_price_of_zero")


def check_status(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the status of the documented check in a run of its category."""
    capsys.readouterr()
    with contextlib.suppress(SystemExit):
        call_command("validate", "--suite", "extended", "--category", "odds", "--format", "json")
    return str(json.loads(capsys.readouterr().out)["checks"][0]["status"])


def test_a_value_from_code(installation: None) -> None:
    assert CacheTarget.objects.filter(subject="lebron-james").exists()
    served = run("consumer.py")["served"]
    assert served.lookup.value["player"] == "LeBron James"


def test_another_catalogue(installation: None, tmp_path: Path) -> None:
    [block] = [block for block in blocks("json") if not block.title]
    (tmp_path / "mine.json").write_text(block.text)
    call_command("backfill_providers", "--file", str(tmp_path / "mine.json"))
    assert ProviderState.objects.get(provider="mine", sport="NBA").is_enabled


def test_the_database_of_several_machines() -> None:
    params = connection.get_connection_params()
    name = f"documented_{secrets.token_hex(4)}"
    [block] = blocks("sql")
    texts = block.text.replace("slipway", name).split(";")
    statements = [text for text in texts if text.strip()]
    with psycopg.connect(host=params["host"], user="postgres", dbname="postgres", autocommit=True) as superuser:
        try:
            for statement in statements:
                superuser.execute(statement)
            role = superuser.execute("SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = %s", [name]).fetchone()
            assert role == (False, False), "the role is a plain one"
        finally:
            superuser.execute(f"DROP DATABASE IF EXISTS {name}")
            superuser.execute(f"DROP ROLE IF EXISTS {name}")
