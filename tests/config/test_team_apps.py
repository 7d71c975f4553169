"""Apps of a team's own package are added by SLIPWAY_APPS or by entry points, and a wrong one ends each process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.config.test_settings import PRODUCTION, ROOT, manage
from tests.processes import free_port

CONFIG = "from django.apps import AppConfig\nclass Acme(AppConfig):\n    name = '{name}'\n    label = '{label}'\n"
READY = "    def ready(self):\n        {body}\n"
GUNICORN = "gunicorn --config python:config.processes.gunicorn config.wsgi"
SHOW = "from django.conf import settings; print([app.entry for app in settings.TEAM_APPS])"


def write_app(folder: Path, name: str, *, label: str = "", ready: str = "pass", models: str = "") -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    (folder / name / "models.py").write_text(models)
    (folder / name / "apps.py").write_text(CONFIG.format(name=name, label=label or name) + READY.format(body=ready))


def write_distribution(folder: Path, name: str, *apps: str) -> None:
    """Write what an installer leaves of a distribution whose entry points name these apps."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    points = "".join(f"app{number} = {app}\n" for number, app in enumerate(apps))
    (info / "entry_points.txt").write_text(f"[slipway.apps]\n{points}")


def run(folder: Path, apps: str, *args: str) -> subprocess.CompletedProcess[str]:
    return manage(*(args or ("check",)), SLIPWAY_APPS=apps, PYTHONPATH=str(folder))


def refusal(folder: Path, apps: str) -> str:
    """Return the one line with which a process ends."""
    done = run(folder, apps)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    return done.stderr.removeprefix("slipway: ").strip()


def test_apps_follow_those_of_slipway_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("zebra", "acme", "middle"):
        write_app(tmp_path, name)
    write_distribution(tmp_path, "acme-slipway", "acme", "middle.apps:Acme")
    done = run(tmp_path, "zebra, acme", "shell", "-v0", "-c", SHOW)
    assert done.stdout == "['acme', 'middle.apps.Acme', 'zebra']\n", "an app of both counts once"
    assert run(tmp_path, "zebra").returncode == 0


def test_an_app_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, "acme_slipway") == (
        "cannot import the app acme_slipway, named in SLIPWAY_APPS: "
        "ModuleNotFoundError: No module named 'acme_slipway'; "
        "correct the name or the package, or remove it from SLIPWAY_APPS"
    )
    write_distribution(tmp_path, "acme-slipway", "acme_slipway")
    line = refusal(tmp_path, "acme_slipway")
    assert "named in SLIPWAY_APPS and the distribution acme-slipway" in line
    assert line.endswith("or remove it from SLIPWAY_APPS and uninstall acme-slipway")


def test_an_app_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    write_app(tmp_path, "acme")
    assert refusal(tmp_path, "acme,acme") == "cannot use the app acme: SLIPWAY_APPS names it twice; name it once"
    assert refusal(tmp_path, "acme,acme.apps.Acme") == (
        "cannot use the app acme.apps.Acme, named in SLIPWAY_APPS: it is an app already, by the entry acme; "
        "remove it from SLIPWAY_APPS"
    )
    assert "it is an app already, by the entry rollout" in refusal(tmp_path, "rollout")
    write_distribution(tmp_path, "one", "acme")
    write_distribution(tmp_path, "two", "acme")
    assert refusal(tmp_path, "") == (
        "cannot use the app acme: the distributions one and two name it; uninstall one of them"
    )


def test_a_label_that_is_taken_is_refused(tmp_path: Path) -> None:
    write_app(tmp_path, "acme", label="rollout")
    assert refusal(tmp_path, "acme") == (
        "cannot use the app acme, named in SLIPWAY_APPS: its label rollout is the label of rollout; "
        "set another label in its AppConfig, or remove it from SLIPWAY_APPS"
    )


def test_a_value_that_is_no_name_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "acme-slipway") == (
        "SLIPWAY_APPS must be dotted names of apps, comma separated; see .env.example"
    )


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"ready": "{}['where']"}, "KeyError: 'where' (acme.apps, line 6)"),
        ({"models": "from django.nowhere import Model"}, "No module named 'django.nowhere' (acme.models, line 1)"),
        ({"models": "def ("}, "models.py, line 1)"),
    ],
)
def test_an_app_that_fails_while_it_is_loaded_is_named(tmp_path: Path, changes: dict[str, str], cause: str) -> None:
    write_app(tmp_path, "acme", **changes)
    write_distribution(tmp_path, "acme-slipway", "acme.apps:Acme")
    line = refusal(tmp_path, "")
    assert line.startswith("cannot load the app acme.apps.Acme, named in the distribution acme-slipway: ")
    assert cause in line
    assert line.endswith("; correct it, or uninstall acme-slipway")


def test_two_apps_that_register_the_same_thing_are_both_named(tmp_path: Path) -> None:
    check = "from core.health_checks import check; check('margins', 'odds')(lambda view: None)"
    protect = "from rollout.recovery.protect import protect; from providers import models; protect(models.Event)"
    for name in ("acme", "rival"):
        write_app(tmp_path, name, ready=f"import {name}.registrations")
        (tmp_path / name / "registrations.py").write_text(check)
    line = refusal(tmp_path, "acme,rival")
    assert line.startswith("cannot load the app rival, named in SLIPWAY_APPS: cannot register the check margins of ")
    assert "rival.registrations: acme.registrations has this id; choose another id" in line
    for name in ("acme", "rival"):
        (tmp_path / name / "registrations.py").write_text(protect)
    line = refusal(tmp_path, "acme,rival")
    assert "cannot protect the table providers_event for rival.registrations: " in line
    assert "acme.registrations protects it already; leave out one of the two calls" in line


def test_a_worker_names_an_app_whose_tasks_cannot_be_imported(tmp_path: Path) -> None:
    write_app(tmp_path, "acme")
    (tmp_path / "acme" / "tasks.py").write_text("import nowhere\n")
    done = start_process("celery -A config.celery worker", tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stderr)["event"] == (
        "cannot start: cannot load the app acme, named in SLIPWAY_APPS: ModuleNotFoundError: No module named 'nowhere' "
        "(acme.tasks, line 1); correct it, or remove it from SLIPWAY_APPS"
    )


def start_process(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a Python module that ends by itself, with the app acme of the folder."""
    changes = {"SLIPWAY_APPS": "acme", "PYTHONPATH": str(folder), "WEB_PORT": str(free_port())}
    return subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=ROOT,
        env=PRODUCTION | changes,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_every_kind_of_process_ends_with_the_same_line(tmp_path: Path) -> None:
    write_app(tmp_path, "acme", ready="{}['where']")
    expected = "cannot start: cannot load the app acme, named in SLIPWAY_APPS: KeyError: 'where' (acme.apps, line 6); "
    for command in (GUNICORN, "celery -A config.celery worker", "celery -A config.celery beat"):
        done = start_process(command, tmp_path)
        assert done.returncode == 1, command
        assert json.loads(done.stderr)["event"].startswith(expected), command
