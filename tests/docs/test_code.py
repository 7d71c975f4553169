"""Every piece of code in the documentation runs as it is printed there."""

import configparser
import contextlib
import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.db.models import F

from caching.models import CacheTarget
from config.middleware.trusted_proxies import FORWARDED
from core import health_checks
from core.access.actors import SYSTEM
from providers.gamelogs import uploads
from providers.models import PropLine, ProviderState
from rollout.gate import runtime
from rollout.models import Rollout, Snapshot
from rollout.operations import policies
from rollout.recovery import protect
from tests.conftest import look
from tests.databases import ROOT
from tests.docs.blocks import blocks, titled

TESTED_HERE = {"pricing.py", "elsewhere.py", "checks.py", "apps.py", "consumer.py"}


def run(title: str, **names: Any) -> dict[str, Any]:
    """Run the block with this title, with these names defined. Return all names that are defined afterwards."""
    namespace: dict[str, Any] = {"__name__": "documented"} | names
    exec(compile(titled(title).text, title, "exec"), namespace)  # noqa: S102 - the project's own text
    return namespace


def test_no_piece_of_python_is_left_out() -> None:
    titles = {block.title for block in blocks("python")}
    without_adapter = {title for title in titles if not title.startswith("providers/")}  # test_provider.py runs that
    assert without_adapter == TESTED_HERE


def test_a_gate_for_other_code(installation: None) -> None:
    probed: list[str] = []

    def old_price(line: str) -> float:
        return {"line": 1.5}[line]

    def new_price(line: str) -> float:
        return {"line": 1.6}[line]

    price = run("pricing.py", old_price=old_price, new_price=new_price, cached=probed.append)["price"]
    user, own = SimpleNamespace(account="account-7"), runtime.shared()
    rollout = policies.create_rollout("new-odds", actor=SYSTEM)
    for stage, percent, expected in (("DISABLED", 0, 1.5), ("DARK_MODE", 0, 1.5), ("FULL_ACTIVE", 100, 1.6)):
        Rollout.objects.filter(pk=rollout.pk).update(
            stage=stage, percent=percent, run_state="running", epoch=F("epoch") + 1
        )
        look(own.states)
        assert price(user, "line") == expected, stage
    assert probed == ["line"], "DARK_MODE probes the cache"
    run("elsewhere.py")


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


def test_a_further_protected_table(installation: None, settings: Any, tmp_path: Any) -> None:
    settings.SNAPSHOT_DIR = tmp_path
    text = titled("apps.py").text.replace("last_used_at", "last_login")
    forgotten: list[bool] = []
    with protect.registrations_undone():
        exec(text, {"OddsModel": User, "forget_what_is_cached": lambda: forgotten.append(True)})  # noqa: S102
        User.objects.create_user("ada")
        call_command("snapshot", "create")
        User.objects.all().delete()
        call_command("restore", "--latest", "--no-input")
        assert User.objects.get().username == "ada"
        assert forgotten == [True]
        assert Snapshot.objects.exists()


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


def test_the_systemd_units_run_the_commands_of_the_procfile() -> None:
    procfile = dict(line.split(": exec python ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    units = {block.title.rpartition("slipway-")[2].removesuffix(".service"): block for block in blocks("ini")}
    assert units.keys() - {"pgbouncer.ini"} == procfile.keys() - {"stub"}
    for name, command in procfile.items():
        if name != "stub":
            unit = configparser.RawConfigParser(strict=False)
            unit.read_string(units[name].text)
            expected = f"/srv/slipway/.venv/bin/python {command}".replace("%h", "%%h")
            assert unit["Service"]["ExecStart"] == expected
            assert unit["Service"]["Restart"] == "always"


def test_pgbouncer_and_nginx_are_configured_as_slipway_needs_them() -> None:
    bouncer = configparser.RawConfigParser()
    bouncer.read_string(titled("pgbouncer.ini").text)
    assert bouncer["pgbouncer"]["pool_mode"] == "transaction"
    [proxy] = blocks("nginx")
    sent = set(re.findall(r"proxy_set_header (X-\S+)", proxy.text))
    assert {f"HTTP_{name.upper().replace('-', '_')}" for name in sent} <= set(FORWARDED)
    assert int(re.findall(r"client_max_body_size (\d+)m;", proxy.text)[0]) * 2**20 > uploads.MAX_BYTES
    assert "ssl_certificate " in proxy.text
