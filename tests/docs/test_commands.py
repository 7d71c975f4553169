"""Every command of the documentation is run as it stands there, page by page and in its order, on an installation."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import Settings

from core import health_checks
from rollout.models import Rollout
from tests.browser.site import serve
from tests.databases import ROOT, address
from tests.docs.blocks import PLAN, blocks, titled

MANAGE = ".venv/bin/python manage.py "
SERVED = "http://127.0.0.1:8000"
ELSEWHERE = {  # what would change this checkout, or take minutes: that it may be typed is all that is looked at
    "git clone": "of the project itself",
    "git pull": "of the project itself",
    "make": "its targets are looked at",
    f"{MANAGE}makemigrations": "tried with an adapter, in a copy",
    f"{MANAGE}migrate": "the same",
}
PAGES = sorted({block.page.relative_to(ROOT) for block in blocks("sh") if block.page != PLAN})


@pytest.fixture
def site(installation: None, settings: Settings, tmp_path: Path) -> Iterator[str]:
    settings.SNAPSHOT_DIR = tmp_path / "snapshots"
    settings.API_TOKEN = "let-me-in"
    (tmp_path / ".env").write_text("API_TOKEN=let-me-in\n")
    with serve(tmp_path / "site.log") as served:
        settings.SITE_URL = served
        yield served


def lines(page: Path) -> list[str]:
    text = "".join(block.text for block in blocks("sh") if block.page == ROOT / page)
    whole = (line.partition(" #")[0].strip() for line in text.replace("\\\n", " ").splitlines())
    return [line for line in whole if line]


@pytest.fixture
def documented_check() -> Iterator[None]:
    """That of docs/checks.md, whose commands look at it."""
    exec(titled("checks.py").text, {})  # noqa: S102 - our own text
    yield
    del health_checks._checks["no_price_of_zero"]


@pytest.mark.usefixtures("documented_check")
@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_can_be_typed_from_its_beginning_to_its_end(page: Path, site: str, tmp_path: Path) -> None:
    assert lines(page)
    token = ""
    for line in lines(page):
        if line.startswith("TOKEN="):
            token = f"{line}; "
        elif not any(line.startswith(start) for start in ELSEWHERE):
            type_in(line, site, token, tmp_path)
        elif line.startswith("make"):
            subprocess.run(shlex.split(line.replace("make", "make -n", 1)), cwd=ROOT, check=True, stdout=-3)


def type_in(line: str, site: str, token: str, home: Path) -> None:
    if not line.startswith(MANAGE):
        own = os.environ | {"DATABASE_URL": address()}
        told = token + line.replace(SERVED, site)
        done = subprocess.run(["bash", "-ec", told], cwd=home, env=own, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        return
    words = shlex.split(line.removeprefix(MANAGE))
    if words[0] == "drive":
        words = ["drive", "--rate", "10", "--seconds", "1"]
    if words[:2] == ["rollout", "start"]:  # as a page's reader finds it, or after the cool-down of an earlier trial
        Rollout.objects.update(stage="DISABLED", run_state="idle", cool_down_until=None)
    if words[:2] == ["rollout", "abort"]:
        Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", percent=100)
    call_command(*(word for word in words if word != "--watch"))


def test_no_block_is_of_a_kind_that_nobody_tries() -> None:
    kinds = {block.language for block in blocks()}
    assert kinds <= {"sh", "python", "json", "sql", "ini", "nginx", "text"}


def test_all_that_is_said_in_running_text_is_a_command() -> None:
    known = set(
        re.findall(r"^([a-z_]+)\.py$", "\n".join(path.name for path in ROOT.glob("*/management/commands/*.py")), re.M)
    )
    said = {name for page in ROOT.glob("docs/*.md") for name in re.findall(r"`manage\.py ([a-z_]+)", page.read_text())}
    assert said <= known | {"check", "migrate", "makemigrations", "dbshell"}
    assert len(said) > 5
