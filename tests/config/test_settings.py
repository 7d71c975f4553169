"""A wrong environment stops the start with one line, which names the variable."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = {
    line.split("=", 1)[0]: line.split("=", 1)[1]
    for line in (ROOT / ".env.example").read_text().splitlines()
    if line and not line.startswith("#")
}


def manage(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the environment of .env.example with these changes, without the tests' own variables."""
    plain = {name: os.environ[name] for name in ("PATH", "PYTEST_VERSION")}
    command = [sys.executable, "manage.py", *args]
    return subprocess.run(command, cwd=ROOT, env=plain | PRODUCTION | environment, capture_output=True, text=True)


def test_the_production_example_passes_the_deployment_checks() -> None:
    done = manage("check", "--deploy", "--fail-level", "WARNING")
    assert done.stdout == "System check identified no issues (0 silenced).\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_the_secrets_of_the_settings_are_masked() -> None:
    changes = {
        "EMAIL_URL": "smtp+tls://slipway:of-the-mail@mail.example.com:587",
        "REHEARSAL_DATABASE_URL": "postgres://slipway:of-the-rehearsal@db.example.com/slipway",
        "NOTIFY_WEBHOOK_URL": "https://hooks.example.com/services/of-the-webhook",
    }
    text = "of-the-mail of-the-rehearsal of-the-webhook example"
    done = manage("shell", "-v0", "-c", f"from core.redaction import redact; print(redact('{text}'))", **changes)
    assert done.stdout == "*** *** *** example\n"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SECRET_KEY", "short"),
        ("SITE_URL", "slipway.example.com"),
        ("SITE_URL", "ftp://slipway.example.com"),
        ("DATABASE_URL", "sqlite:///db.sqlite3"),
        ("REDIS_URL", "memcached://here"),
        ("API_TOKENS", "name:not-a-digest"),
        ("TRUSTED_PROXIES", "everybody"),
        ("WEB_PORT", "eighty"),
        ("DEBUG", "perhaps"),
        ("STUB_FEED_URL", "127.0.0.1:8001"),
        ("NOTIFY_WEBHOOK_URL", "nowhere"),
        ("EMAIL_URL", "pigeon://coop"),
    ],
)
def test_a_malformed_variable_is_named(variable: str, value: str) -> None:
    done = manage("check", **{variable: value})
    assert done.returncode != 0
    assert done.stderr.startswith(f"slipway: {variable} must be ")
    assert done.stderr.endswith("see .env.example\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("variable", ["SECRET_KEY", "SITE_URL"])
def test_a_missing_variable_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(PRODUCTION, variable)
    done = manage("check")
    assert done.stderr == f"slipway: {variable} must be set; see .env.example\n"


def test_every_setting_is_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text()
    code = "".join(file.read_text() for file in (ROOT / "config").glob("*.py"))
    read = {part.split('"')[1] for part in code.split("env.")[1:] if part.split("(")[0] in KINDS}
    assert {"SECRET_KEY", "TRUSTED_PROXIES", "REDIS_PREFIX"} <= read
    assert {name for name in read if f"{name}=" not in example} == set()


KINDS = ("str", "int", "flag", "list", "db_url", "mail")
