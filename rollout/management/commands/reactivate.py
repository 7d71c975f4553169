"""The command `manage.py reactivate`."""

from typing import Any

from django.core.management.base import CommandParser

from core.commands import SlipwayCommand
from core.switches import Part
from rollout.recovery.reactivate import reactivate


class Command(SlipwayCommand):
    help = "Switch parts on that were switched off. Example: manage.py reactivate polling --reason 'the feed is back'"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        choices = [*Part.values, []]  # argparse compares the empty list with the choices if no part is named
        parser.add_argument(
            "parts", nargs="*", metavar="PART", choices=choices, help=f"{', '.join(Part.values)}; all if none is named"
        )
        parser.add_argument("--reason", default="", help="why; it is recorded with each part")

    def handle(self, *args: Any, parts: list[str], reason: str, **options: Any) -> None:
        switched_on = reactivate([Part(part) for part in parts], actor=self.actor, reason=reason)
        names = [part.value for part in switched_on]
        self.report({"switched_on": names}, f"switched on: {', '.join(names)}" if names else "no part was off")
