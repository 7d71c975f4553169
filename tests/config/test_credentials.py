"""`manage.py credentials`: a lost password or API token is replaced, and says how to go on."""

import hashlib
import json
import os
import re
from pathlib import Path

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import RequestFactory

from config import credentials
from config.environment import env_file
from core.access.actors import SYSTEM

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.django_db


def can_sign_in(username: str, password: str) -> bool:
    return authenticate(RequestFactory().post("/"), username=username, password=password) is not None


def test_it_prints_how_to_sign_in_and_no_secret(capsys: Capture) -> None:
    User.objects.create_superuser("ann", password="a secret of ann")
    call_command("credentials")
    output = capsys.readouterr().out
    assert "Sign in at http://127.0.0.1:8000/admin/" in output
    assert "Administrators: ann\n" in output
    assert "Names of the API tokens: tests\n" in output
    assert "secret" not in output


def test_a_new_password_works_for_a_locked_and_deactivated_user(capsys: Capture) -> None:
    User.objects.create_superuser("admin", password="forgotten", is_active=False)
    AccessAttempt.objects.create(username="admin", ip_address="127.0.0.1", failures_since_start=9)
    call_command("credentials", "--new-password", "--json")
    document = json.loads(capsys.readouterr().out)
    assert not AccessAttempt.objects.exists()
    assert can_sign_in("admin", document["password"])
    assert not can_sign_in("admin", "forgotten")


def test_the_first_administrator_is_made_if_there_is_no_user() -> None:
    assert can_sign_in("admin", credentials.set_new_password("admin", actor=SYSTEM))
    assert User.objects.get().is_superuser


def test_an_unknown_user_is_one_line_that_lists_the_known_ones() -> None:
    User.objects.create_user("ann")
    with pytest.raises(CommandError, match=r"^cannot find user bob; choose one of: ann$"):
        call_command("credentials", "--new-password", "bob")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A .env file, as `make run` leaves it."""
    path = tmp_path / ".env"
    path.write_text(f"API_TOKENS={os.environ['API_TOKENS']}\nAPI_TOKEN=let-me-in\n")
    monkeypatch.setenv("API_TOKENS", os.environ["API_TOKENS"])
    monkeypatch.setenv("API_TOKEN", "let-me-in")
    monkeypatch.setattr(credentials, "read_settings", lambda: env_file.read_settings(path))
    monkeypatch.setattr(credentials, "store_setting", lambda name, value: env_file.store_setting(name, value, path))
    return path


def test_a_new_token_joins_those_of_the_file(file: Path, capsys: Capture) -> None:
    before = os.environ["API_TOKENS"]
    call_command("credentials", "--new-token", "grafana")
    token = capsys.readouterr().out.split("API token: ")[1].split()[0]
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert env_file.read_settings(file) == {"API_TOKENS": f"{before},grafana:{digest}", "API_TOKEN": "let-me-in"}


def test_a_new_token_replaces_that_of_its_name(file: Path, settings: object) -> None:
    settings.API_TOKEN = "let-me-in"  # type: ignore[attr-defined]
    new = credentials.make_token("tests", actor=SYSTEM)
    digest = hashlib.sha256(new.token.encode()).hexdigest()
    assert env_file.read_settings(file) == {"API_TOKENS": f"tests:{digest}", "API_TOKEN": new.token}


def test_a_token_set_in_the_environment_is_printed_as_a_setting(file: Path, capsys: Capture) -> None:
    file.write_text("")
    call_command("credentials", "--new-token", "grafana")
    assert "Set API_TOKENS=tests:" in capsys.readouterr().out
    assert file.read_text() == ""


def test_without_a_file_a_token_is_printed_as_a_setting(
    file: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.unlink()
    monkeypatch.delenv("API_TOKENS")
    call_command("credentials", "--new-token", "grafana")
    assert "Set API_TOKENS=tests:" in capsys.readouterr().out
    assert not file.exists()


def test_a_line_with_export_keeps_its_form_and_the_file_its_owner(file: Path) -> None:
    file.write_text(f"  export API_TOKENS={os.environ['API_TOKENS']}\n")
    os.chown(file, 65534 if os.geteuid() == 0 else -1, -1)
    owner = file.stat().st_uid
    credentials.make_token("grafana", actor=SYSTEM)
    assert re.fullmatch(r"  export API_TOKENS=tests:\w+,grafana:\w+\n", file.read_text())
    assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (owner, 0o600)


def test_a_new_password_is_in_the_log_with_its_actor_and_without_itself(caplog: pytest.LogCaptureFixture) -> None:
    password = credentials.set_new_password("admin", actor=SYSTEM)
    assert "'event': 'new password'" in caplog.text
    assert "'actor': 'system'" in caplog.text
    assert password not in caplog.text


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a,b", "a=b"])
def test_a_name_that_does_not_fit_the_setting_is_refused(file: Path, name: str) -> None:
    with pytest.raises(CommandError, match=r"^the name of a token must be one word"):
        call_command("credentials", "--new-token", name)
