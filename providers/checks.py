"""The system check of the installed adapters."""

from typing import Any

from django.core.checks import CheckMessage, Warning

from providers.adapters import find_problems


def adapters_can_be_used(**kwargs: Any) -> list[CheckMessage]:
    """Return a warning for each installed adapter that cannot be used. It is no error: the other ones work."""
    return [Warning(problem, hint=hint, id="providers.W001") for problem, hint in map(_parts, find_problems())]


def _parts(error: Exception) -> tuple[str, str]:
    problem, hint = error.args
    return f"{problem}.", f"{hint[:1].upper()}{hint[1:]}."
