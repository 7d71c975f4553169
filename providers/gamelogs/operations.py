"""The verbs of game logs, one callable each: imports from a file and from the stub feed."""

from collections.abc import Callable, Mapping
from typing import BinaryIO

from core.access.actors import Actor, require
from core.errors import WrongInput
from providers.gamelogs.csv_rows import open_logs, read_schedule
from providers.gamelogs.loader import Imported, load
from providers.gamelogs.stub_source import read_stub
from providers.models import Sport

PERMISSION = "providers.import_gamelog"


def import_file(
    file: BinaryIO,
    sport: str,
    *,
    actor: Actor,
    format: str = "",
    mapping: Mapping[str, str] | None = None,
    schedule: BinaryIO | None = None,
    skip_bad: bool = False,
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Imported:
    """Import a CSV file: all of it, or nothing if a row is bad and `skip_bad` is False.

    format: `nflverse`, `plain`, or empty to choose by the header.
    mapping: column to statistic or field, for columns with other names.
    schedule: nflverse's games.csv, which its player statistics need.
    progress: called now and then with the number of good rows so far.
    Raises Refused, WrongInput, BadFile.
    """
    require(actor, PERMISSION)
    _require_sport(sport)
    games = read_schedule(schedule) if schedule else None
    reader, logs = open_logs(file, sport, format, mapping, games)
    imported = Imported(reader.format, sport, ignored=reader.columns.unused(), dry_run=dry_run)
    return load(logs, imported, skip_bad=skip_bad, progress=progress)


def import_stub(url: str, sport: str, *, actor: Actor, dry_run: bool = False) -> Imported:
    """Import the season of the stub feed at this address. Raises SlipwayError if the feed does not answer."""
    require(actor, PERMISSION)
    _require_sport(sport)
    return load(read_stub(url, sport), Imported("stub", sport, dry_run=dry_run), skip_bad=False)


def import_missing_from_stub(*, actor: Actor) -> list[Imported]:
    """Import the stub's season for each sport that has no game logs, from a stub feed in this process."""
    missing = list(Sport.objects.filter(gamelog=None).order_by("pk").values_list("pk", flat=True))
    if not missing:
        return []
    # Imported here because they load numpy, and a start that has all its game logs should not wait for it.
    from providers.stub.season import SEASONS
    from providers.stub.server import SEED, make_app, served

    with served(make_app(SEED)) as url:
        return [import_stub(url, sport, actor=actor) for sport in missing if sport in SEASONS]


def _require_sport(sport: str) -> None:
    if not Sport.objects.filter(pk=sport).exists():
        known = ", ".join(Sport.objects.order_by("pk").values_list("pk", flat=True)) or "none yet"
        raise WrongInput(
            f"cannot import game logs: there is no sport {sport} (known: {known})",
            "for the catalogue's sports, run: manage.py backfill_providers",
        )
