"""manage.py bootstrap"""

from typing import Any

from config.bootstrap import ADMIN, bootstrap
from core.commands import SlipwayCommand


class Command(SlipwayCommand):
    help = "Make a new or upgraded machine ready; run it as often as you like. Example: manage.py bootstrap"

    def handle(self, *args: Any, **options: Any) -> None:
        done = bootstrap(actor=self.actor)
        admin = {"username": ADMIN, "password": done.password}
        text = "Ready."
        if done.password:
            text += f" Admin user: {ADMIN}   password: {done.password}   (shown this once)"
        made = {"states_created": done.states_created, "game_logs_created": done.game_logs_created}
        made |= {"entries_warmed": done.entries_warmed}
        self.report(made | {"admin": admin}, text)
