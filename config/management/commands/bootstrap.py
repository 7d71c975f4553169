"""The command manage.py bootstrap."""

from typing import Any

from config.bootstrap import ADMIN, bootstrap
from core.commands import SlipwayCommand


class Command(SlipwayCommand):
    help = "Prepare a new or upgraded machine; it is safe to run again. Example: manage.py bootstrap"

    def handle(self, *args: Any, **options: Any) -> None:
        done = bootstrap(actor=self.actor)
        text = "Ready."
        if done.password:
            text += f" Admin user: {ADMIN}   password: {done.password}   (shown this once)"
        document = {
            "states_created": done.states_created,
            "game_logs_created": done.game_logs_created,
            "entries_warmed": done.entries_warmed,
            "admin": {"username": ADMIN, "password": done.password},
        }
        self.report(document, text)
