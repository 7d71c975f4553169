"""What can be done with game logs: one callable per verb."""

from collections.abc import Callable, Mapping
from typing import BinaryIO

from core.access.actors import Actor, require
from core.errors import WrongInput
from providers.gamelogs.files import open_logs, read_schedule
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
    progress: Callable[[int], None] = lambda rows: None,
) -> Imported:
    """Import a CSV file: all of it or, without `skip_bad`, nothing. Raises WrongInput, BadFile."""
    require(actor, PERMISSION)
    _require_sport(sport)
    games = read_schedule(schedule) if schedule else None
    reader, items = open_logs(file, sport, format, mapping, games)
    imported = Imported(reader.format, sport, ignored=reader.ignored, dry_run=dry_run)
    return load(items, imported, skip_bad=skip_bad, progress=progress)


def import_stub(url: str, sport: str, *, actor: Actor, dry_run: bool = False) -> Imported:
    """Import the stub feed's season. Raises SlipwayError where it does not answer."""
    require(actor, PERMISSION)
    _require_sport(sport)
    return load(read_stub(url, sport), Imported("stub", sport, dry_run=dry_run), skip_bad=False)


def import_missing_from_stub(*, actor: Actor) -> list[Imported]:
    """Give each sport that has no game logs the stub's season, from a stub feed of its own."""
    missing = list(Sport.objects.filter(gamelog=None).order_by("pk").values_list("pk", flat=True))
    if not missing:
        return []
    from providers.stub.season import SEASONS  # here, since a start that has all it needs should not wait for numpy
    from providers.stub.server import SEED, make_app, served

    with served(make_app(SEED)) as url:
        return [import_stub(url, sport, actor=actor) for sport in missing if sport in SEASONS]


def _require_sport(sport: str) -> None:
    if not Sport.objects.filter(pk=sport).exists():
        known = ", ".join(Sport.objects.order_by("pk").values_list("pk", flat=True)) or "none yet"
        raise WrongInput(
            f"there is no sport {sport}", f"take one of {known}; the catalogue brings them: backfill_providers"
        )
