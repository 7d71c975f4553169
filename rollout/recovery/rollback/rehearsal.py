"""The rehearsal of a level and its undo, on a copy in a scratch database of the same server.

A child process executes it, with Redis keys of its own. The copy is filled from the newest snapshot. No real rollout or
row changes.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from django.conf import settings
from django.db import connection, transaction
from psycopg import errors
from psycopg.sql import Identifier

from core.access.actors import Actor, require
from core.errors import SlipwayError, first_line
from core.process.lifetime import tether
from core.redaction import redact
from rollout.choices import RunKind
from rollout.models import RecoveryRun, RecoveryStep
from rollout.recovery.postgres import sql
from rollout.recovery.restore import sources
from rollout.recovery.rollback import gradual
from rollout.recovery.rollback.rehearsal_report import RehearsalReport
from rollout.recovery.runner import PROMISED, Failed
from rollout.recovery.snapshots import operations

PREFIX = "slipway_rehearsal_"  # of the names of scratch databases, and of the keys in Redis
CHILD = "rollout.recovery.rehearsal_child"
AT_MOST_SECONDS = 3600
DROP_ATTEMPTS, DROP_PAUSE_SECONDS = 25, 0.2
REHEARSED_WITHIN = timedelta(days=30)
URL_SETTING = "REHEARSAL_DATABASE_URL"


class CannotRehearse(SlipwayError):
    """No copy can be made to rehearse on."""


def rehearsal_fault(last: RecoveryRun | None, now: datetime) -> str:
    """Return what is wrong with the last rehearsal of a level; an empty text if nothing is."""
    if last is None or last.ended_at is None:
        return "was never rehearsed"
    if not last.has_kept_promise:
        return "did not keep its promise when it was rehearsed"
    return f"was last rehearsed on {last.ended_at:%Y-%m-%d}" if now - last.ended_at > REHEARSED_WITHIN else ""


def rehearse(level: RunKind, *, actor: Actor) -> RecoveryRun:
    """Rehearse the level and its undo. Return the run that records it, also if the level or its undo failed.

    Raises CannotRehearse if no scratch database can be made, Failed if the child process fails, UnusableSnapshot.
    """
    require(actor, "rollout.rehearse_recoveryrun")
    snapshot = operations.find_snapshot(None)
    for source in sources.table_sources(snapshot):
        source.verify_file()
    with _scratch_database() as url, tempfile.TemporaryDirectory() as folder:
        report = _run_child(level, snapshot.folder, _child_environment(url, folder))
    return _record(level, snapshot.name, actor, report)


def _child_environment(url: str, folder: str) -> dict[str, str]:
    """Return this process's environment, but with the scratch database, and without channels that notify operators."""
    return os.environ | {
        "DATABASE_URL": url,
        "REDIS_URL": settings.REDIS_URL,
        "REDIS_PREFIX": f"{PREFIX}{secrets.token_hex(4)}:",
        "SNAPSHOT_DIR": folder,
        "EMAIL_URL": "dummymail://",
        "NOTIFY_WEBHOOK_URL": "",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }


def _run_child(level: RunKind, snapshot_folder: str, environment: dict[str, str]) -> RehearsalReport:
    """Run the child process, and return its report. It ends with this process."""
    try:
        completed = subprocess.run(
            [sys.executable, "-m", CHILD, level.value, snapshot_folder],
            cwd=settings.BASE_DIR,
            env=environment,
            preexec_fn=tether(signal.SIGKILL),
            capture_output=True,
            text=True,
            timeout=AT_MOST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(
            f"cannot rehearse {level.value}: it took longer than {AT_MOST_SECONDS} s",
            "see which session it waits for: SELECT * FROM pg_stat_activity",
        ) from error
    if completed.returncode:
        last_line = redact((completed.stderr.strip().splitlines() or ["it wrote no message"])[-1])
        raise Failed(
            f"cannot rehearse {level.value}: its process failed: {last_line}",
            f"correct that; behind PgBouncer, set {URL_SETTING} to PostgreSQL's own address",
        )
    report: RehearsalReport = json.loads(completed.stdout.splitlines()[-1])
    return report


@contextmanager
def _scratch_database() -> Iterator[str]:
    """Create a database, yield its address, and drop it after the block. Drop what a crash left of earlier ones."""
    url = _server_url()
    name = f"{PREFIX}{int(time.time())}_{secrets.token_hex(2)}"
    try:
        with psycopg.connect(url, autocommit=True) as server:
            _drop_old_databases(server)
            server.execute(sql.CREATE_DATABASE.format(name=Identifier(name)))
            try:
                yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
            finally:
                _drop_database(server, name)
    except errors.InsufficientPrivilege as error:
        role = urlsplit(url).username or "ROLE"
        raise CannotRehearse(
            f"cannot create a scratch database: the role {role} lacks CREATEDB",
            f"run as a superuser: ALTER ROLE {role} CREATEDB, or set {URL_SETTING}",
        ) from error
    except psycopg.OperationalError as error:
        cause = redact(first_line(error, "the server did not answer"))
        raise CannotRehearse(f"cannot create a scratch database: {cause}", f"check {URL_SETTING}") from error


def _drop_old_databases(server: "psycopg.Connection[Any]") -> None:
    oldest = int(time.time()) - 2 * AT_MOST_SECONDS
    for (name,) in server.execute(sql.SCRATCH_DATABASES, [PREFIX]).fetchall():
        created = name.removeprefix(PREFIX).partition("_")[0]
        if created.isdecimal() and int(created) < oldest:
            server.execute(sql.DROP_DATABASE.format(name=Identifier(name)))


def _drop_database(server: "psycopg.Connection[Any]", name: str) -> None:
    """Drop the scratch database. If that fails, the next rehearsal drops it.

    A plain role may not end an autovacuum worker in the database, but the worker ends by itself after a moment.
    """
    for _ in range(DROP_ATTEMPTS):
        try:
            server.execute(sql.DROP_DATABASE.format(name=Identifier(name)))
        except errors.InsufficientPrivilege:
            time.sleep(DROP_PAUSE_SECONDS)
        except psycopg.Error:
            return
        else:
            return


def _server_url() -> str:
    """Return the address of the server: REHEARSAL_DATABASE_URL, or that of Django's database."""
    if settings.REHEARSAL_DATABASE_URL:
        return str(settings.REHEARSAL_DATABASE_URL)
    database = connection.settings_dict
    password = f":{quote(database['PASSWORD'], safe='')}" if database["PASSWORD"] else ""
    port = f":{database['PORT']}" if database["PORT"] else ""
    location = f"{quote(database['USER'], safe='')}{password}@{quote(database['HOST'], safe='')}{port}"
    parameters = urlsplit(os.environ.get("DATABASE_URL", "")).query
    return urlunsplit(("postgres", location, f"/{database['NAME']}", parameters, ""))


@transaction.atomic
def _record(level: RunKind, snapshot: str, actor: Actor, report: RehearsalReport) -> RecoveryRun:
    is_gradual = level is RunKind.GRADUAL
    run = RecoveryRun.objects.create(
        kind=level,
        outcome=report["outcome"],
        actor=actor.get_username(),
        reason=report["problem"],
        pace=0 if is_gradual else 1,
        promised_seconds=PROMISED[level],
        waived_seconds=gradual.HOLD.total_seconds() * len(gradual.LADDER) if is_gradual else 0,
        snapshot=snapshot,
        is_rehearsal=True,
        started_at=datetime.fromisoformat(report["started_at"]),
        ended_at=datetime.fromisoformat(report["ended_at"]),
    )
    for step in report["steps"]:
        RecoveryStep.objects.create(
            run=run,
            name=step["name"],
            outcome=step["outcome"],
            evidence=step["evidence"],
            started_at=datetime.fromisoformat(step["started_at"]),
            ended_at=datetime.fromisoformat(step["ended_at"]),
        )
    return run
