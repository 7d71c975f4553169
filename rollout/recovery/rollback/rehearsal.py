"""A level and its undo, rehearsed: on a copy in a scratch database of the same server, by a process of its own, whose
Redis keys nobody else reads. The copy is filled from the newest snapshot.
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
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from django.conf import settings
from django.db import connection, transaction
from psycopg import errors, sql

from core.access.actors import Actor, require
from core.errors import SlipwayError, first_line
from core.process.lifetime import die_with
from core.redaction import redact
from rollout.choices import RunKind
from rollout.models import RecoveryRun, RecoveryStep
from rollout.recovery.restore import sources
from rollout.recovery.rollback import gradual
from rollout.recovery.runner import PROMISED, Failed
from rollout.recovery.snapshots import operations
from rollout.recovery.snapshots.manifest import check

PREFIX = "slipway_rehearsal_"
CHILD = "rollout.recovery.rollback.rehearsal_child"
AT_MOST_SECONDS = 3600
DROP_TRIES, DROP_AGAIN_SECONDS = 25, 0.2


class CannotRehearse(SlipwayError):
    """There is no copy to rehearse on."""


def rehearse(level: RunKind, *, actor: Actor) -> RecoveryRun:
    """Returns how it went, as it is recorded. Raises CannotRehearse; Failed where the level or its undo did."""
    require(actor, "rollout.rehearse_recoveryrun")
    snapshot = operations.found(None)
    for source in sources.sources(snapshot):
        check(source.folder, source.table)
    with _scratch() as url, tempfile.TemporaryDirectory() as folder:
        own = {
            "DATABASE_URL": url,
            "REDIS_URL": settings.REDIS_URL,
            "SNAPSHOT_DIR": folder,
            "EMAIL_URL": "dummymail://",
        }
        own |= {"REDIS_PREFIX": f"{PREFIX}{secrets.token_hex(4)}:", "NOTIFY_WEBHOOK_URL": ""}
        own |= {"DJANGO_SETTINGS_MODULE": "config.settings"}
        told = [sys.executable, "-m", CHILD, level.value, snapshot.folder]
        parent = partial(die_with, os.getpid(), signal.SIGKILL)
        try:
            done = subprocess.run(  # noqa: PLW1510 - what it returns is looked at
                told,
                cwd=settings.BASE_DIR,
                env=os.environ | own,
                preexec_fn=parent,
                capture_output=True,
                text=True,
                timeout=AT_MOST_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"the rehearsal took longer than {AT_MOST_SECONDS} s", "see what holds it up there") from error
    if done.returncode:
        said = redact((done.stderr.strip().splitlines() or ["it said nothing"])[-1])
        raise Failed(f"the rehearsal broke: {said}", "see to that; behind PgBouncer set REHEARSAL_DATABASE_URL")
    return _record(level, snapshot.name, actor, json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def _scratch() -> Iterator[str]:
    """A database for as long as the block lasts; yields its address. What a crash left goes too."""
    url, now = _server(), int(time.time())
    name = f"{PREFIX}{now}_{secrets.token_hex(2)}"
    try:
        with psycopg.connect(url, autocommit=True) as server:
            for (old,) in server.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [PREFIX]):
                made = old.removeprefix(PREFIX).partition("_")[0]
                if made.isdecimal() and int(made) < now - 2 * AT_MOST_SECONDS:
                    server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(old)))
            server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
            mine = urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
            try:
                yield mine
            finally:
                _drop(server, name)
    except errors.InsufficientPrivilege as error:
        remedy = "ALTER ROLE ... CREATEDB, or set REHEARSAL_DATABASE_URL"
        raise CannotRehearse("this role may not make a database", remedy) from error
    except psycopg.OperationalError as error:
        said = redact(first_line(error, "no answer"))
        raise CannotRehearse(f"no database could be made: {said}", "check REHEARSAL_DATABASE_URL") from error


def _drop(server: "psycopg.Connection[Any]", name: str) -> None:
    """An autovacuum worker in it, which a plain role may not end, goes by itself in a moment. What is left all the same
    the next rehearsal drops.
    """
    for _ in range(DROP_TRIES):
        try:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        except errors.InsufficientPrivilege:
            time.sleep(DROP_AGAIN_SECONDS)
        except psycopg.Error:
            return
        else:
            return


def _server() -> str:
    if settings.REHEARSAL_DATABASE_URL:
        return str(settings.REHEARSAL_DATABASE_URL)
    role = connection.settings_dict
    who = quote(role["USER"], safe="") + (f":{quote(role['PASSWORD'], safe='')}" if role["PASSWORD"] else "")
    where = quote(role["HOST"], safe="") + (f":{role['PORT']}" if role["PORT"] else "")
    given = urlsplit(os.environ.get("DATABASE_URL", "")).query
    return urlunsplit(("postgres", f"{who}@{where}", f"/{role['NAME']}", given, ""))


@transaction.atomic
def _record(level: RunKind, snapshot: str, actor: Actor, told: dict[str, Any]) -> RecoveryRun:
    run = RecoveryRun.objects.create(
        kind=level,
        outcome=told["outcome"],
        actor=actor.get_username(),
        reason=told["problem"],
        pace=1 if level is not RunKind.GRADUAL else 0,
        promised_seconds=PROMISED[level],
        waived_seconds=gradual.HOLD.total_seconds() * len(gradual.LADDER) if level is RunKind.GRADUAL else 0,
        snapshot=snapshot,
        is_rehearsal=True,
        started_at=datetime.fromisoformat(told["started_at"]),
        ended_at=datetime.fromisoformat(told["ended_at"]),
    )
    for step in told["steps"]:
        times = {name: datetime.fromisoformat(step.pop(name)) for name in ("started_at", "ended_at")}
        RecoveryStep.objects.create(run=run, **step, **times)
    return run
