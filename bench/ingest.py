"""Measure storing lines against bulk_create, and the rows per second and peak memory of importing box scores.

make bench, or .venv/bin/python bench/ingest.py [lines|logs]
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._ground import database

LINES, GAMES, ROUNDS = 50_000, 100, 5
SIZES = 20_000, 400_000  # rows of a file


def lines() -> None:
    with database():
        from django.db import connection

        from core.access.actors import SYSTEM
        from providers.choices import PollOutcome
        from providers.fleet.backfill import CATALOGUE, Scope, backfill
        from providers.models import Event, PropLine, ProviderState
        from providers.polling.claims import claim_due
        from providers.polling.ingest import store_poll
        from providers.upstream.messages import Answer, Call, Game, Line, Poll

        backfill(CATALOGUE.read_bytes(), actor=SYSTEM)
        state = ProviderState.objects.get(provider="stub", sport="NBA")
        now = datetime.now(UTC)
        games = tuple(Game(f"game {n}", "Home", "Away", now) for n in range(GAMES))

        def offered(price: float) -> tuple[Line, ...]:
            """Return all lines: every tenth at this price, the others at -110."""
            return tuple(
                Line(
                    games[n % GAMES].id,
                    "draftkings",
                    f"market {n // GAMES % 20}",
                    f"Player {n // GAMES // 40}",
                    ("Over", "Under")[n // GAMES // 20 % 2],
                    10.5,
                    price if n % 10 == 0 else -110.0,
                )
                for n in range(LINES)
            )

        def slipway(lines: tuple[Line, ...]) -> None:
            [claim] = claim_due(scope=Scope("stub", "NBA"), everything=True)
            ids = frozenset(game.id for game in games)
            answer = Answer(games, lines, ids, ids, ids)
            assert store_poll(claim, Poll((Call("/odds", now, 1.0, PollOutcome.OK),), answer, is_good=True))

        def peer(lines: tuple[Line, ...]) -> None:
            events = dict(Event.objects.values_list("external_id", "pk"))
            PropLine.objects.bulk_create(
                [
                    PropLine(
                        state=state,
                        event_id=events[line.event],
                        bookmaker=line.bookmaker,
                        market=line.market,
                        player=line.player,
                        side=line.side,
                        point=line.point,
                        price=line.price,
                    )
                    for line in lines
                ],
                update_conflicts=True,
                unique_fields=["state", "event", "bookmaker", "market", "player", "point", "side"],
                update_fields=["price"],
            )

        unchanged, moved = offered(-110.0), offered(-120.0)
        cases = {"all new": [unchanged], "the same": [unchanged], "a tenth moved": [moved, unchanged]}

        def measure(store: Callable[[tuple[Line, ...]], None], case: str) -> float:
            seconds = []
            for round_number in range(ROUNDS):
                if case == "all new":
                    with connection.cursor() as cursor:
                        cursor.execute("TRUNCATE providers_propline, providers_pricemove")
                answers = cases[case]
                start = time.perf_counter()
                store(answers[round_number % len(answers)])
                seconds.append(time.perf_counter() - start)
            return statistics.median(seconds)

        slipway(unchanged)  # stores the events that the peer refers to
        for case in cases:
            own_seconds, peer_seconds = measure(slipway, case), measure(peer, case)
            print(
                f"{LINES} lines, {case}: {own_seconds * 1000:.0f} ms, bulk_create {peer_seconds * 1000:.0f} ms, "
                f"{peer_seconds / own_seconds:.1f} x"
            )
        slipway(unchanged)
        before = versions()
        slipway(unchanged)
        print(f"rows rewritten when the same answer arrives again: {len(before ^ versions())}")


def versions() -> set[tuple[int, str]]:
    """Return each row's id with its transaction id and position: a rewritten row has new ones."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT id, xmin::text || ctid::text FROM providers_propline")
        return set(cursor.fetchall())


def logs() -> None:
    with database(), tempfile.TemporaryDirectory() as folder:
        from core.access.actors import SYSTEM
        from providers.fleet.backfill import CATALOGUE, backfill
        from providers.gamelogs.operations import import_file

        backfill(CATALOGUE.read_bytes(), actor=SYSTEM)
        for size in SIZES:
            path = Path(folder) / f"{size}.csv"
            write_logs(path, size)
            start = time.perf_counter()
            with path.open("rb") as file:
                imported = import_file(file, "MLB", actor=SYSTEM)
            seconds = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            megabytes = path.stat().st_size / 1e6
            print(
                f"{imported.created} rows, {megabytes:.0f} MB: {size / seconds:.0f} rows/s, "
                f"peak memory so far {peak:.0f} MiB"
            )


def write_logs(path: Path, size: int) -> None:
    header = (
        "game_id,date,player_id,player,position,team,plate_appearances,at_bats,runs,hits,doubles,home_runs,rbis,walks"
    )
    first = datetime(2000, 1, 1, tzinfo=UTC)
    with path.open("w") as file:
        file.write(header + "\n")
        for row in range(size):
            day = (first + timedelta(days=row // 500)).date()
            game = f"{size} {day} {row // 20}"
            file.write(f"{game},{day},p{row % 500},Player {row % 500},OF,NYA,5,4,1,{row % 4},0,0,{row % 3},1\n")


if __name__ == "__main__":
    if sys.argv[1:]:
        {"lines": lines, "logs": logs}[sys.argv[1]]()
    else:  # a process each, so that the peak memory of one does not include the other's
        for part in ("lines", "logs"):
            subprocess.run([sys.executable, __file__, part], check=True)
