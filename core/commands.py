"""The base of Slipway's commands: the option --json, errors of one line, and exit codes."""

import errno
import json
import sys
from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from core.access.actors import Actor, shell_actor
from core.errors import Refused, SlipwayError, first_line
from core.redaction import redact

BAR_WIDTH = 30  # characters


class SlipwayCommand(BaseCommand):
    """A command that prints a text or, with --json, one JSON document.

    Each error is one line without a traceback. The exit code is that of the SlipwayError, and 3 for other errors.
    """

    requires_system_checks: list[str] = []
    has_json = True

    def add_arguments(self, parser: CommandParser) -> None:
        if self.has_json:
            parser.add_argument("--json", action="store_true", help="print one JSON document")

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.as_json = bool(options.get("json"))
        try:
            return super().execute(*args, **options)
        except SlipwayError as error:
            raise CommandError(str(error), returncode=error.exit_code) from error
        except DatabaseError as error:
            cause = redact(first_line(error, "it gave no reason"))
            is_full = "No space left on device" in cause
            remedy = "free some space where PostgreSQL keeps its data: df -h" if is_full else "check /readyz"
            raise CommandError(f"cannot query the database: {cause}; {remedy}", returncode=3) from error
        except OSError as error:
            if error.filename is None and error.errno != errno.ENOSPC:
                raise self._unexpected(error) from error
            problem = f"cannot use {error.filename or 'a file'}: {error.strerror}"
            raise CommandError(f"{problem}; check its rights and its free space: df -h", returncode=3) from error
        except (CommandError, KeyboardInterrupt):
            raise
        except Exception as error:
            raise self._unexpected(error) from error

    def _unexpected(self, error: Exception) -> CommandError:
        lines = f"unexpected {type(error).__name__}: {redact(str(error))}".splitlines()
        return CommandError(f"{lines[0]}; add --traceback to see its origin", returncode=3)

    @cached_property
    def actor(self) -> Actor:
        """The user who runs the command."""
        return shell_actor()

    def progress_bar(self, total: int) -> Callable[[int], None]:
        """Return a function that takes the number of further items that are done.

        It draws a progress bar if standard error is a terminal, else it prints nothing.

        total: the number of all items.
        """
        done_items = 0

        def advance(count: int) -> None:
            nonlocal done_items
            done_items += count
            if sys.stderr.isatty() and total:
                share = min(1.0, done_items / total)
                line_end = "\n" if done_items >= total else ""
                bar = f"{'#' * int(BAR_WIDTH * share):.<{BAR_WIDTH}}"
                sys.stderr.write(f"\r[{bar}] {done_items:,}/{total:,}{line_end}")
                sys.stderr.flush()

        return advance

    def confirm(self, consequence: str, word: str) -> None:
        """Print the consequence and wait for an operator to type the word. Raises Refused for any other answer."""
        self.stderr.write(consequence)
        if not sys.stdin.isatty():
            raise Refused(
                "cannot ask for confirmation: there is no terminal", "add --no-input, or run the command in a terminal"
            )
        self.stderr.write(f"Type {word} to continue: ", ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip() != word:
            raise Refused(f"the confirmation must be {word}", "nothing was changed; run the command again")

    def report(self, document: dict[str, Any], text: str) -> None:
        """Print the document if --json was given, else the text."""
        self.stdout.write(json.dumps(document, default=str) if self.as_json else text)
