"""The command `manage.py poll_providers`: poll in the foreground."""

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
COLUMNS = ("outcome", "providers", "sport", "calls", "lines", "ms", "problem")
ROW = "{:<9} {:<34} {:<5} {:>5} {:>7} {:>8}  {}"


class Command(SlipwayCommand):
    help = (
        "Poll enabled providers in this terminal, beside the workers or without them. With --once, poll each one now "
        "and print the result; exit code 1 means that a poll failed. Without --once, poll each one when it is due, "
        "until Ctrl-C. Example: manage.py poll_providers --once --sport NBA"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--once", action="store_true", help="poll every enabled provider once, due or not")
        parser.add_argument("--provider", help="with --once: only this provider, for example stub", type=str.lower)
        parser.add_argument("--sport", help="with --once: only this sport, for example NBA", type=str.upper)

    def handle(self, *args: Any, once: bool, provider: str | None, sport: str | None, **options: Any) -> None:
        try:
            if once:
                self.poll_once(Scope(provider, sport))
            elif provider or sport:
                raise WrongInput("cannot use --provider and --sport without --once", "add --once, or leave them out")
            else:
                self.keep_polling()
        finally:
            poller.stop_poller()

    def poll_once(self, scope: Scope) -> None:
        polls = [future.result() for future in operations.poll_round(scope, actor=self.actor)]
        self.report({"polls": [poll_document(polled) for polled in polls]}, poll_table(polls))
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
                    cause = redact(first_line(error, "it gave no reason"))
                    self.stderr.write(f"cannot query the database: {cause}; trying again in {TICK_SECONDS:.0f} s")
                    close_old_connections()
                time.sleep(TICK_SECONDS)
        except KeyboardInterrupt:
            self.stderr.write("stopped")


def poll_document(polled: Polled) -> dict[str, Any]:
    """Return the JSON object of one poll."""
    poll = polled.poll
    return {
        "providers": sorted(polled.claim.members),
        "sport": polled.claim.sport,
        "outcome": poll_outcome(polled),
        "calls": len(poll.calls),
        "lines": len(poll.answer.lines),
        "ms": round(sum(call.duration_ms for call in poll.calls)),
        "problem": poll.problem,
    }


def poll_outcome(polled: Polled) -> str:
    """Return good or failed; `skipped` if no call could be made, `lost` if the poll was not stored."""
    if not polled.is_stored:
        return "lost"
    if not polled.poll.calls:
        return "skipped"
    return "good" if polled.poll.is_good else "failed"


def poll_table(polls: list[Polled]) -> str:
    """Return the polls as a table with one row each."""
    if not polls:
        return "Nothing to poll: no enabled provider matches, or a worker polls them at this moment."
    rows = [ROW.format(*COLUMNS[:-1], "")]  # the problem needs no title
    for polled in polls:
        document = poll_document(polled)
        document["providers"] = ", ".join(document["providers"])
        rows.append(ROW.format(*(document[column] for column in COLUMNS)))
    return "\n".join(row.rstrip() for row in rows)
