"""The preparation of a machine before its first request and after each upgrade. It is safe to run it again."""

import hashlib
import os
import secrets
import sys
from dataclasses import dataclass
from operator import itemgetter

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command

from caching.operations import warm_due
from config.console.groups import make_groups
from core.access.actors import Actor
from providers.fleet.backfill import CATALOGUE, backfill
from providers.gamelogs.operations import import_missing_from_stub

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """The rows that one run made. `password` belongs to the admin user if this run made it; it is stored nowhere."""

    states_created: int
    game_logs_created: int
    entries_warmed: int
    password: str | None


def bootstrap(*, actor: Actor) -> Bootstrapped:
    """Make what is missing: migrations, static files, groups, the catalogue's rows, game logs, entries, an admin user.

    The game logs are a synthetic season, made only if STUB_FEED_URL is set.
    """
    report_progress("migrating the database")
    call_command("migrate", verbosity=0, interactive=False)
    collect_static()
    make_groups()
    created = backfill(CATALOGUE.read_bytes(), actor=actor).created
    if created:
        report_progress(f"created {len(created)} provider states from the catalogue")
    seasons = import_missing_from_stub(actor=actor) if settings.STUB_FEED_URL else []
    for season in seasons:
        report_progress(f"imported {season.created:,} synthetic {season.sport} game logs from the stub feed")
    warmed = warm_due(actor=actor)
    if warmed:
        report_progress(f"warmed {warmed} cache targets")
    password = make_admin()  # last, so that no later step can fail before the password is printed
    return Bootstrapped(len(created), sum(season.created for season in seasons), warmed, password)


def report_progress(message: str) -> None:
    print(f"slipway: {message}", file=sys.stderr, flush=True)


def make_admin() -> str | None:
    """Make the first superuser and return its new password. Return None if a superuser exists."""
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(12)
    users.create_superuser(ADMIN, password=password)
    return password


def collect_static() -> None:
    """Collect the static files if they changed. Hashing and compressing them dominates the time of a second start."""
    stamp = settings.STATIC_ROOT / ".collected"
    fingerprint = _static_fingerprint()
    if stamp.exists() and stamp.read_text() == fingerprint:
        return
    report_progress("collecting static files")
    call_command("collectstatic", verbosity=0, interactive=False, clear=True)
    stamp.write_text(fingerprint)


def _static_fingerprint() -> str:
    """Return a hash of the storage and of all files to collect."""
    digest = hashlib.sha256(settings.STORAGES["staticfiles"]["BACKEND"].encode())
    files = [(name, storage) for finder in get_finders() for name, storage in finder.list([])]
    for name, storage in sorted(files, key=itemgetter(0)):
        with storage.open(name) as file:
            digest.update(b"\0" + os.fsencode(name) + file.read())
    return digest.hexdigest()
