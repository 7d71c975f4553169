"""The base of Slipway's commands: --json, one-line errors, exit codes."""

import json
import sys
from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from core.access.actors import Actor, shell
from core.errors import Refused, SlipwayError, first_line
from core.redaction import redact


class SlipwayCommand(BaseCommand):
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
            said = redact(first_line(error, "no answer"))
            raise CommandError(f"the database refused: {said}; check /readyz", returncode=3) from error
        except (CommandError, KeyboardInterrupt):
            raise
        except Exception as error:
            lines = f"unexpected {type(error).__name__}: {redact(str(error))}".splitlines()
            raise CommandError(f"{lines[0]}; add --traceback to see where", returncode=3) from error

    @cached_property
    def actor(self) -> Actor:
        return shell()

    def bar(self, total: int) -> Callable[[int], None]:
        """A progress bar where somebody looks at a terminal; call it with how many more are done."""
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            if sys.stderr.isatty() and total:
                share = min(1.0, done / total)
                line_end = "\n" if done >= total else ""
                sys.stderr.write(f"\r[{'#' * int(30 * share):.<30}] {done:,}/{total:,}{line_end}")
                sys.stderr.flush()

        return advance

    def ask(self, about: str, word: str) -> None:
        """Go on only where somebody types the word. Raises Refused."""
        self.stderr.write(about)
        if not sys.stdin.isatty():
            raise Refused("nobody is there to confirm it", "add --no-input, or run it in a terminal")
        self.stderr.write(f"Type {word} to go on: ", ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip() != word:
            raise Refused("not confirmed", "nothing was changed")

    def report(self, document: dict[str, Any], text: str) -> None:
        self.stdout.write(json.dumps(document, default=str) if self.as_json else text)
