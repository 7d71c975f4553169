"""The command `manage.py bootstrap`."""

from typing import Any

from config.bootstrap import ADMIN, bootstrap
from core.commands import SlipwayCommand


class Command(SlipwayCommand):
    help = "Prepare a new or upgraded machine; it is safe to run again. Example: manage.py bootstrap"

    def handle(self, *args: Any, **options: Any) -> None:
        result = bootstrap(actor=self.actor)
        text = "Ready."
        if result.password:
            text += f" Admin user: {ADMIN}   password: {result.password}   (shown this once)"
        document = {
            "states_created": result.states_created,
            "game_logs_created": result.game_logs_created,
            "entries_warmed": result.entries_warmed,
            "admin": {"username": ADMIN, "password": result.password},
        }
        self.report(document, text)
