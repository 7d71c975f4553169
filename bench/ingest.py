"""Storing lines, beside bulk_create; importing box scores: rows per second and peak memory.

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

        from providers.backfill import CATALOGUE, Scope, backfill
        from providers.choices import Outcome
        from providers.feed import Answer, Call, Game, Line, Poll
        from providers.ingest import record
        from providers.models import Event, PropLine, ProviderState
        from providers.polling import claim_due
        from rollout.actors import SYSTEM

        backfill(CATALOGUE.read_bytes(), actor=SYSTEM)
        state = ProviderState.objects.get(provider="stub", sport="NBA")
        now = datetime.now(UTC)
        games = tuple(Game(f"game {n}", "Home", "Away", now) for n in range(GAMES))

        def offered(price: float) -> tuple[Line, ...]:
            """Every tenth line at this price, the others as always."""
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

        def ours(found: tuple[Line, ...]) -> None:
            [claim] = claim_due(scope=Scope("stub", "NBA"), everything=True)
            ids = frozenset(game.id for game in games)
            answer = Answer(games, found, ids, ids, ids)
            assert record(claim, Poll((Call("/odds", now, 1.0, Outcome.OK),), answer, is_good=True))

        def peer(found: tuple[Line, ...]) -> None:
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
                    for line in found
                ],
                update_conflicts=True,
                unique_fields=["state", "event", "bookmaker", "market", "player", "point", "side"],
                update_fields=["price"],
            )

        usual, moved = offered(-110.0), offered(-120.0)
        cases = {"all new": [usual], "the same": [usual], "a tenth moved": [moved, usual]}

        def measure(store: Callable[[tuple[Line, ...]], None], what: str) -> float:
            taken = []
            for round_number in range(ROUNDS):
                if what == "all new":
                    with connection.cursor() as cursor:
                        cursor.execute("TRUNCATE providers_propline, providers_pricemove")
                answers = cases[what]
                start = time.perf_counter()
                store(answers[round_number % len(answers)])
                taken.append(time.perf_counter() - start)
            return statistics.median(taken)

        ours(usual)  # so that the peer finds its events
        for what in cases:
            mine, other = measure(ours, what), measure(peer, what)
            print(
                f"{LINES} lines, {what}: {mine * 1000:.0f} ms, bulk_create {other * 1000:.0f} ms, {other / mine:.1f} x"
            )
        ours(usual)
        before = versions()
        ours(usual)
        print(f"rows rewritten when the same comes again: {len(before ^ versions())}")


def versions() -> set[tuple[int, str]]:
    """Each row with the transaction that wrote it."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT id, xmin::text || ctid::text FROM providers_propline")
        return set(cursor.fetchall())


def logs() -> None:
    with database(), tempfile.TemporaryDirectory() as folder:
        from providers.backfill import CATALOGUE, backfill
        from providers.gamelogs.operations import import_file
        from rollout.actors import SYSTEM

        backfill(CATALOGUE.read_bytes(), actor=SYSTEM)
        for size in SIZES:
            path = Path(folder) / f"{size}.csv"
            write_logs(path, size)
            start = time.perf_counter()
            with path.open("rb") as file:
                done = import_file(file, "MLB", actor=SYSTEM)
            taken = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            megabytes = path.stat().st_size / 1e6
            print(
                f"{done.created} rows, {megabytes:.0f} MB: {size / taken:.0f} rows/s, peak memory so far {peak:.0f} MiB"
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
    else:  # a process each, so that the one's memory is not the other's
        for part in ("lines", "logs"):
            subprocess.run([sys.executable, __file__, part], check=True)
