"""The files of ops/ that docs/deploy.md includes agree with the Procfile and the settings. .ci/image runs them."""

import configparser
import re
from typing import Any

import yaml

from config.middleware.trusted_proxies import FORWARDED
from providers.gamelogs import uploads
from tests.databases import ROOT
from tests.docs.blocks import blocks, titled

PROCFILE = dict(line.split(": exec python ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
PRODUCTION = PROCFILE.keys() - {"stub"}
UNITS = ROOT / "ops" / "systemd"


def unit(name: str) -> configparser.RawConfigParser:
    parsed = configparser.RawConfigParser(strict=False)
    parsed.read_string((UNITS / name).read_text())
    return parsed


def test_the_systemd_units_run_the_commands_of_the_procfile() -> None:
    files = {path.stem.removeprefix("slipway-").rstrip("@"): path.name for path in UNITS.glob("*.service")}
    assert files.keys() == PRODUCTION
    for name, file in files.items():
        expected = f"/srv/slipway/.venv/bin/python {PROCFILE[name]}".replace("%h", "%%h")
        assert unit(file)["Service"]["ExecStart"] == expected
    assert unit("slipway-.service.d/common.conf")["Service"]["Restart"] == "always"


def test_nginx_is_configured_as_slipway_needs_it() -> None:
    proxy = titled("nginx.conf").text
    sent = set(re.findall(r"proxy_set_header (X-\S+)", proxy))
    assert {f"HTTP_{name.upper().replace('-', '_')}" for name in sent} <= set(FORWARDED)
    largest = max(map(int, re.findall(r"client_max_body_size (\d+)m;", proxy)))
    assert largest * 2**20 > uploads.MAX_BYTES
    assert "ssl_certificate " in proxy


def test_pgbouncer_is_configured_as_slipway_needs_it() -> None:
    bouncer = configparser.RawConfigParser()
    bouncer.read_string(titled("pgbouncer.ini").text)
    assert bouncer["pgbouncer"]["pool_mode"] == "transaction"


def test_the_compose_file_confines_each_process_of_the_procfile() -> None:
    [block] = blocks("yaml")
    services: dict[str, Any] = yaml.safe_load(block.text)["services"]
    ours = {name: service for name, service in services.items() if "command" in service and name != "valkey"}
    assert {service["command"][0] for service in ours.values()} == PRODUCTION | {"all-in-one", "bootstrap"}
    for service in ours.values():
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert any(mount.startswith("/tmp") for mount in service["tmpfs"])
