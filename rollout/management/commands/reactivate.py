"""manage.py reactivate"""

from typing import Any

from django.core.management.base import CommandParser

from core.commands import SlipwayCommand
from core.switches import Part
from rollout.recovery.reactivate import reactivate


class Command(SlipwayCommand):
    help = "Switch parts on again that were switched off. Example: manage.py reactivate polling --reason 'it is back'"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        known = [*Part.values, []]  # argparse takes none at all for a choice
        parser.add_argument("parts", nargs="*", metavar="PART", choices=known, help=", ".join(Part.values))
        parser.add_argument("--reason", default="", help="why, for the record")

    def handle(self, *args: Any, parts: list[str], reason: str, **options: Any) -> None:
        changed = reactivate([Part(part) for part in parts], actor=self.actor, reason=reason)
        names = [part.value for part in changed]
        self.report({"switched_on": names}, f"switched on: {', '.join(names)}" if names else "nothing was off")
