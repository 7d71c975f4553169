"""manage.py poll_providers"""

import signal
import time
from typing import Any

from django.core.management.base import CommandParser
from django.db import DatabaseError, close_old_connections

from core.commands import SlipwayCommand
from core.errors import WrongInput, first_line
from core.redaction import redact
from providers import operations
from providers.fleet.backfill import Scope
from providers.polling import poller
from providers.polling.poller import Polled

TICK_SECONDS = 5.0
COLUMNS = "{:<9} {:<34} {:<5} {:>5} {:>7} {:>8}  {}"


class Command(SlipwayCommand):
    help = "Poll in the foreground. Example: manage.py poll_providers --once --sport NBA"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--once", action="store_true", help="one round of all that is enabled, due or not")
        parser.add_argument("--provider", help="only this provider, as stub", type=str.lower)
        parser.add_argument("--sport", help="only this sport, as NBA", type=str.upper)

    def handle(self, *args: Any, once: bool, provider: str | None, sport: str | None, **options: Any) -> None:
        try:
            if once:
                self.one_round(Scope(provider, sport))
            elif provider or sport:
                raise WrongInput("--provider and --sport belong to --once", "add --once, or leave them out")
            else:
                self.keep_polling()
        finally:
            poller.stop_poller()

    def one_round(self, scope: Scope) -> None:
        polls = [future.result() for future in operations.poll_round(scope, actor=self.actor)]
        self.report({"polls": [document(polled) for polled in polls]}, table(polls))
        if any(polled.poll.calls and not polled.poll.is_good for polled in polls):
            raise SystemExit(1)

    def keep_polling(self) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        self.stderr.write("polling until Ctrl-C ...")
        try:
            while True:
                try:
                    operations.poll_due()
                except DatabaseError as error:
                    said = redact(first_line(error, "no answer"))
                    self.stderr.write(f"the database did not answer, trying again: {said}")
                    close_old_connections()
                time.sleep(TICK_SECONDS)
        except KeyboardInterrupt:
            self.stderr.write("stopped")


def document(polled: Polled) -> dict[str, Any]:
    poll = polled.poll
    return {
        "providers": sorted(polled.claim.members),
        "sport": polled.claim.sport,
        "outcome": outcome(polled),
        "calls": len(poll.calls),
        "lines": len(poll.answer.lines),
        "ms": round(sum(call.duration_ms for call in poll.calls)),
        "problem": poll.problem,
    }


def outcome(polled: Polled) -> str:
    if not polled.is_stored:
        return "lost"
    if not polled.poll.calls:
        return "skipped"
    return "good" if polled.poll.is_good else "failed"


def table(polls: list[Polled]) -> str:
    if not polls:
        return "Nothing to poll: no enabled provider matches, or a worker is at it this moment."
    rows = [COLUMNS.format("outcome", "providers", "sport", "calls", "lines", "ms", "")]
    for polled in polls:
        row = document(polled)
        row["providers"] = ", ".join(row["providers"])
        rows.append(
            COLUMNS.format(*(row[k] for k in ("outcome", "providers", "sport", "calls", "lines", "ms", "problem")))
        )
    return "\n".join(line.rstrip() for line in rows)
