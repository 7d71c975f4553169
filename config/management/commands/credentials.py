"""The command `manage.py credentials`."""

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import CommandParser

from config import credentials
from config.bootstrap import ADMIN
from core.commands import SlipwayCommand

HOW = """Sign in at {address}
Administrators: {administrators}
For a new password: manage.py credentials --new-password [USER]
Names of the API tokens: {tokens}
For a new token: manage.py credentials --new-token NAME"""


class Command(SlipwayCommand):
    help = "Print how to sign in, or make a new password or API token. Example: manage.py credentials --new-password"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        new = parser.add_mutually_exclusive_group()
        new.add_argument(
            "--new-password", nargs="?", const=ADMIN, metavar="USER", help=f"set a new password (default: {ADMIN})"
        )
        new.add_argument("--new-token", metavar="NAME", help="make a new API token in place of the one with this name")

    def handle(self, *args: Any, **options: Any) -> None:
        address = f"{settings.SITE_URL}/admin/"
        if (username := options["new_password"]) is not None:
            password = credentials.set_new_password(username, actor=self.actor)
            text = f"User: {username}   password: {password}   (shown this once)\nSign in at {address}"
            self.report({"username": username, "password": password, "address": address}, text)
        elif options["new_token"] is not None:
            self._report_token(options["new_token"])
        else:
            users = get_user_model().objects.filter(is_superuser=True, is_active=True).order_by("username")
            administrators = list(users.values_list("username", flat=True))
            tokens = sorted(settings.API_TOKENS.values())
            text = HOW.format(
                address=address,
                administrators=", ".join(administrators) or "none",
                tokens=", ".join(tokens) or "none",
            )
            self.report({"address": address, "administrators": administrators, "tokens": tokens}, text)

    def _report_token(self, name: str) -> None:
        new = credentials.make_token(name, actor=self.actor)
        next_step = "Start Slipway again: the token is valid from then on, and replaces an older one of that name."
        if not new.is_stored:
            next_step = f"Set API_TOKENS={new.setting} in the environment. {next_step}"
        document = {"name": name, "token": new.token, "setting": new.setting, "is_stored": new.is_stored}
        self.report(document, f"API token: {new.token}   (shown this once)\n{next_step}")
