"""The way back in for an operator who lost a password or an API token. Neither is stored in plain text."""

import hashlib
import os
import re
import secrets
from dataclasses import dataclass

import structlog
from axes.utils import reset
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

from config.bootstrap import ADMIN
from config.environment.env_file import read_settings, store_setting
from core.access.actors import Actor, require
from core.errors import WrongInput

TOKENS = "API_TOKENS"
log = structlog.get_logger("slipway.credentials")


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made.

    setting: the value that API_TOKENS must have.
    is_stored: whether .env has that value already; if not, an operator sets it.
    """

    token: str
    setting: str
    is_stored: bool


@transaction.atomic
def set_new_password(username: str, *, actor: Actor) -> str:
    """Give the user a new password and return it. The user becomes active, and a lock after wrong passwords is removed.

    If no user exists at all, the first administrator is made. Raises WrongInput if there is no such user.
    """
    require(actor, "auth.change_user")
    users = get_user_model().objects
    password = secrets.token_urlsafe(12)
    user = users.filter(username=username).first()
    if user is None:
        if users.exists() or username != ADMIN:
            names = ", ".join(users.order_by("username").values_list("username", flat=True)[:20]) or "none"
            raise WrongInput(f"cannot find user {username[:60]}", f"choose one of: {names}")
        user = users.create_superuser(username)
    user.set_password(password)
    user.is_active = True
    user.save()
    reset(username=username)
    log.warning("new password", user=username, actor=actor.get_username())
    return password


def make_token(name: str, *, actor: Actor) -> NewToken:
    """Make a new API token in place of that name's tokens. It is valid once the site was started again.

    Raises WrongInput if the name cannot be written into API_TOKENS.
    """
    require(actor, "auth.change_user")
    if not re.fullmatch("[A-Za-z0-9_-]+", name):
        raise WrongInput(f"the name of a token must be one word (got {name[:60]!r})", "use letters, digits, - and _")
    token = secrets.token_urlsafe(24)
    digest = hashlib.sha256(token.encode()).hexdigest()
    kept = [f"{other}:{known}" for known, other in settings.API_TOKENS.items() if other != name]
    value = ",".join([*kept, f"{name}:{digest}"])
    log.warning("new API token", token=name, actor=actor.get_username())
    stored = read_settings()
    if TOKENS not in stored or stored[TOKENS] != os.environ.get(TOKENS):  # the environment takes precedence
        return NewToken(token, value, is_stored=False)
    store_setting(TOKENS, value)
    if settings.API_TOKEN and settings.API_TOKENS.get(hashlib.sha256(settings.API_TOKEN.encode()).hexdigest()) == name:
        store_setting("API_TOKEN", token)  # manage.py drive sends this one
    return NewToken(token, value, is_stored=True)
