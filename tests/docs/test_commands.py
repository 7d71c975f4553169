"""Every command of the documentation is run as it is printed, page by page and in order, on an installation."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import Settings

from rollout.models import Rollout
from tests.browser.site import serve
from tests.databases import ROOT, address
from tests.docs.blocks import PLAN, blocks
from tests.docs.test_package import PAGES as PAGES_OF_THE_PACKAGE

MANAGE = ".venv/bin/python manage.py "
SLIPWAY = ".venv/bin/slipway "  # the same commands, from a package
SERVED = "http://127.0.0.1:8000"
# Commands that would change this checkout or take minutes are not run.
NOT_RUN = (
    "git clone",
    "git pull",
    "make",  # make -n checks that the targets exist
    "docker",  # .ci/image builds the image and runs containers
    "podman",
    "ops/build-base.sh",
    "systemctl",
    "cp ",
    "install ",
    "python3 -m venv",  # tests/project/test_wheel.py installs the package and runs it
    "/srv/slipway/.venv/bin/pip",
    "cd ",
    f"{MANAGE}run",
)
RUN_ELSEWHERE = {PLAN, *(ROOT / page for page in PAGES_OF_THE_PACKAGE)}
PAGES = sorted({block.page.relative_to(ROOT) for block in blocks("sh") if block.page not in RUN_ELSEWHERE})


@pytest.fixture
def site(installation: None, settings: Settings, tmp_path: Path) -> Iterator[str]:
    settings.SNAPSHOT_DIR = tmp_path / "snapshots"
    settings.API_TOKEN = "let-me-in"
    (tmp_path / ".env").write_text("API_TOKEN=let-me-in\n")
    with serve(tmp_path / "site.log") as served:
        settings.SITE_URL = served
        yield served


def lines(page: Path) -> list[str]:
    """Return the commands of a page, without comments, with continued lines joined."""
    text = "".join(block.text for block in blocks("sh") if block.page == ROOT / page)
    joined = text.replace("\\\n", " ").replace(SLIPWAY, MANAGE).splitlines()
    commands = [line.partition(" #")[0].strip() for line in joined]
    return [command for command in commands if command]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_can_be_typed_from_its_beginning_to_its_end(page: Path, site: str, tmp_path: Path) -> None:
    assert lines(page)
    token = ""
    for line in lines(page):
        if line.startswith("TOKEN="):
            token = f"{line}; "
        elif not line.startswith(NOT_RUN):
            run_command(line, site, token, tmp_path)
        elif line.startswith("make"):
            subprocess.run(shlex.split(line.replace("make", "make -n", 1)), cwd=ROOT, check=True, stdout=-3)


def run_command(line: str, site: str, token: str, home: Path) -> None:
    """Run a line of a page: a management command in this process, any other one in a shell in the folder `home`."""
    if not line.startswith(MANAGE):
        environment = os.environ | {"DATABASE_URL": address()}
        script = token + line.replace(SERVED, site)
        done = subprocess.run(["bash", "-ec", script], cwd=home, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        return
    words = shlex.split(line.removeprefix(MANAGE))
    if words[0] == "drive":
        words = ["drive", "--rate", "10", "--seconds", "1"]
    if words[:2] == ["rollout", "start"]:  # as on a fresh installation
        Rollout.objects.update(stage="DISABLED", run_state="idle", cool_down_until=None)
    if words[:2] == ["rollout", "abort"]:
        Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", percent=100)
    call_command(*(word for word in words if word != "--watch"))


def test_every_block_is_of_a_kind_that_a_test_runs() -> None:
    kinds = {block.language for block in blocks()}
    assert kinds <= {"sh", "python", "json", "sql", "ini", "nginx", "yaml", "text", "toml"}


def test_every_command_in_running_text_exists() -> None:
    known = {path.stem for path in ROOT.glob("*/management/commands/*.py") if path.stem != "__init__"}
    named = {name for page in ROOT.glob("docs/*.md") for name in re.findall(r"`manage\.py ([a-z_]+)", page.read_text())}
    assert named <= known | {"check", "migrate", "makemigrations", "dbshell"}
    assert len(named) > 5
