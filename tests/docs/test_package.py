"""The package of the documentation is built from its blocks, installed, used by other processes, and uninstalled."""

import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from tests import databases
from tests.databases import ROOT
from tests.docs.blocks import blocks, titled
from tests.installation import served_by
from tests.rollout.walks import WALKED

PAGES = {"docs/package.md", "docs/provider.md", "docs/checks.md", "docs/protect.md"}  # this test runs their commands
FOLDER = "acme-slipway"
MANAGE = ".venv/bin/python manage.py"
GAME = {"id": "g1", "home": "Oslo", "away": "Bergen", "starts": "2026-11-30T19:00:00Z"}
BOARD = [GAME | {"prices": [{"team": "Oslo", "odds": -120}, {"team": "Bergen", "odds": 110}]}]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


class Acme(BaseHTTPRequestHandler):
    """The upstream of the documented adapter."""

    def do_GET(self) -> None:
        is_known = self.path == "/boards/basketball" and self.headers["X-Api-Key"] == "a-key"
        body = json.dumps(BOARD if is_known else []).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def write_package(home: Path) -> None:
    """Write the package as the pages print it. Its provider gets the only private address that may be polled."""
    titles = [block.title for block in blocks() if block.title.startswith(FOLDER)]
    assert len(titles) == 7
    for title in titles:
        (home / title).parent.mkdir(parents=True, exist_ok=True)
        (home / title).write_text(titled(title).text)
    (home / FOLDER / "acme_slipway" / "__init__.py").touch()
    catalogue = home / FOLDER / "catalogue.json"
    catalogue.write_text(catalogue.read_text().replace("https://feed.example.com", ""))


def make_environment(home: Path) -> None:
    """Make a folder in which the printed commands run: `manage.py`, and a .venv on top of that of the checkout."""
    (home / "manage.py").symlink_to(ROOT / "manage.py")
    venv.create(home / ".venv", with_pip=False, symlinks=True)
    [site] = (home / ".venv" / "lib").glob("python*/site-packages")
    [below] = (path for path in sys.path if path.startswith(sys.prefix) and path.endswith("site-packages"))
    (site / "below.pth").write_text(f"{below}\n")


@pytest.fixture
def run(tmp_path: Path, django_db_setup: None) -> Iterator[Run]:
    """A function that runs a command line in the folder of the package, with a database and an upstream of its own."""
    make_environment(tmp_path)
    write_package(tmp_path)
    name = f"slipway_documented_{os.getpid()}"
    databases.copy(databases.TEMPLATE + databases.fingerprint(), name)
    with served_by(Acme) as feed:
        environment = os.environ | {
            "STUB_FEED_URL": feed,
            "ACME_API_KEY": "a-key",
            "DATABASE_URL": databases.address(name),
            "REDIS_URL": settings.REDIS_URL,
            "REDIS_PREFIX": f"{settings.REDIS_PREFIX}acme:",
            "SNAPSHOT_DIR": str(tmp_path / "snapshots"),
            "PIP_NO_INDEX": "1",  # no host is reached: the build takes the setuptools that is installed
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this as --no-build-isolation
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

        def run(line: str, *, code: int = 0) -> subprocess.CompletedProcess[str]:
            command = ["bash", "-ec", line]
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert done.returncode == code, f"{line}: {done.stdout}{done.stderr}"
            assert "Traceback" not in done.stderr, line
            return done

        yield run
    connection.close()
    databases.drop(name)


def type_page(page: str, run: Run) -> str:
    """Run the commands of the page, except the one that uninstalls the package. Return what they print."""
    text = "".join(block.text for block in blocks("sh") if block.page == ROOT / page)
    lines = [line for line in text.splitlines() if " uninstall " not in line]
    return "".join(run(line).stdout for line in lines)


def shell(run: Run, script: str) -> str:
    done = run(f"{MANAGE} shell -v 0 <<'END'\n{script}\nEND")
    return done.stdout


def test_the_package_is_installed_used_and_uninstalled(run: Run, tmp_path: Path) -> None:
    assert "System check identified no issues" in type_page("docs/package.md", run)
    assert (tmp_path / FOLDER / "acme_slipway" / "migrations" / "0001_initial.py").exists()
    run(f"{MANAGE} makemigrations --check --dry-run")
    run(f"{MANAGE} backfill_providers")
    its_lines_are_stored(run)
    its_check_runs(run)
    its_table_is_restored(run)
    its_gate_walks_through_all_stages(run)
    [uninstall] = [line for block in blocks("sh") for line in block.text.splitlines() if " uninstall " in line]
    run(uninstall)
    slipway_works_without_it(run, tmp_path)


def its_lines_are_stored(run: Run) -> None:
    type_page("docs/provider.md", run)
    lines = "PropLine.objects.order_by('side').values_list('side', 'price')"
    script = f"from providers.models import PropLine\nprint(*{lines})"
    assert shell(run, script) == "('Bergen', 110.0) ('Oslo', -120.0)\n"


def its_check_runs(run: Run) -> None:
    assert "no_price_of_zero" in type_page("docs/checks.md", run)


def its_table_is_restored(run: Run) -> None:
    shell(run, "from acme_slipway.models import Margin\nMargin.objects.create(sport='NBA', percent=10)")
    assert "acme_slipway_margin" in type_page("docs/protect.md", run)
    shell(run, "from acme_slipway.models import Margin\nMargin.objects.all().delete()")
    run(f"{MANAGE} restore --latest --no-input")
    assert shell(run, "from acme_slipway.models import Margin\nprint(Margin.objects.get().percent)") == "10.0\n"


def its_gate_walks_through_all_stages(run: Run) -> None:
    *positions, odds = shell(run, GATE).splitlines()
    assert (positions, odds) == (WALKED, "2.2")


GATE = """
from acme_slipway.pricing import price
from core.access.actors import SYSTEM
from rollout.operations import policies
from tests.rollout.walks import walk

policies.create_rollout("new-odds", actor=SYSTEM)
print(*walk("new-odds", lambda key: price(key, "NBA", 2.0)), sep="\\n")
print(round(price("account-7", "NBA", 2.0), 3))

"""


FORGET = "DELETE FROM django_migrations WHERE app = 'acme_slipway'"


def slipway_works_without_it(run: Run, tmp_path: Path) -> None:
    """The feed of the missing adapter names it, and a restore names the table that it leaves out."""
    assert "no issues" in run(f"{MANAGE} check").stdout
    run(f"{MANAGE} makemigrations --check --dry-run")
    run(f"{MANAGE} migrate --check")
    polled = run(f"{MANAGE} poll_providers --once --sport NBA").stdout
    assert re.search(r"skipped +acme .* cannot use the adapter acme: it is not installed", polled)
    assert re.search(r"good +stub ", polled), "other feeds go on"
    script = "from providers.models import ProviderState\nprint(ProviderState.objects.get(provider='acme').last_error)"
    assert shell(run, script).startswith("cannot use the adapter acme: it is not installed; install the package")
    assert "complete and unaltered" in run(f"{MANAGE} snapshot verify").stdout
    [snapshot] = [path.name for path in (tmp_path / "snapshots").iterdir()]
    restored = run(f"{MANAGE} restore --latest --no-input")
    assert "leaves these tables out, because no installed app protects them: acme_slipway_margin" in restored.stderr
    refused = run(f"{MANAGE} restore --latest --table acme_slipway_margin --no-input", code=2)
    assert "cannot restore table acme_slipway_margin: no installed app has it; install the package" in refused.stderr
    run(f"{MANAGE} snapshot create")
    # A database that never had the package, or whose tables were removed, has none of its migrations.
    shell(run, f"from django.db import connection\nconnection.cursor().execute({FORGET!r})")
    run(f"{MANAGE} restore {snapshot} --dry-run")
