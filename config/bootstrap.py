"""What a machine needs before its first request, and after each upgrade: as often as one likes."""

import hashlib
import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command

from caching.operations import warm_due
from config.console.groups import make_groups
from core.access.actors import Actor
from providers.fleet.backfill import CATALOGUE, backfill
from providers.gamelogs.operations import import_missing_from_stub

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    states_created: int
    game_logs_created: int
    entries_warmed: int
    password: str | None  # of a user that was made just now; it is kept nowhere


def bootstrap(*, actor: Actor) -> Bootstrapped:
    """Migrate, collect static files, make groups, an admin user, the catalogue's rows and, where there is a stub feed,
    its season: whatever is missing.
    """
    say("database: migrations")
    call_command("migrate", verbosity=0, interactive=False)
    collect_static()
    make_groups()
    created = backfill(CATALOGUE.read_bytes(), actor=actor).created
    if created:
        say(f"providers: {len(created)} states from the catalogue")
    seasons = import_missing_from_stub(actor=actor) if settings.STUB_FEED_URL else []
    for season in seasons:
        say(f"game logs: {season.created} of {season.sport}, made up by the stub feed")
    warmed = warm_due(actor=actor)
    if warmed:
        say(f"caches: {warmed} targets computed")
    password = make_admin()  # last, so that nothing can go wrong before it is told
    return Bootstrapped(len(created), sum(season.created for season in seasons), warmed, password)


def say(line: str) -> None:
    print(f"slipway: {line}", file=sys.stderr, flush=True)


def make_admin() -> str | None:
    """Make the first superuser, unless there is one. Returns its new password."""
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(12)
    users.create_superuser(ADMIN, password=password)
    return password


def collect_static() -> None:
    """Collect only what changed: hashing and compressing all files takes longer than the rest of a second start."""
    stamp = settings.STATIC_ROOT / ".collected"
    state = _static_state()
    if stamp.exists() and stamp.read_text() == state:
        return
    say("static files")
    call_command("collectstatic", verbosity=0, interactive=False, clear=True)
    stamp.write_text(state)


def _static_state() -> str:
    """A fingerprint of the files to be collected: those of the locked packages, and our own."""

    def parts() -> Iterator[bytes]:
        yield (settings.BASE_DIR / "requirements.txt").read_bytes()
        for file in sorted((settings.BASE_DIR / "core" / "console" / "static").rglob("*")):
            if file.is_file():
                yield os.fsencode(file) + file.read_bytes()

    return hashlib.sha256(b"\0".join(parts())).hexdigest()
