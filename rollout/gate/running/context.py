"""The circumstances of a caller, for code that runs for it in another thread."""

import contextvars
from collections.abc import Callable

from django.urls import get_script_prefix, get_urlconf, set_script_prefix, set_urlconf
from django.utils import timezone, translation


def in_callers_context(work: Callable[[], object]) -> Callable[[], object]:
    """Return a function that calls `work` with the caller's context variables, language, time zone and URLs.

    Django keeps the last three in asgiref's Locals, which another thread does not inherit with the context.
    """
    context = contextvars.copy_context()
    language, time_zone = translation.get_language(), timezone.get_current_timezone()
    urlconf, script_prefix = get_urlconf(), get_script_prefix()

    def run() -> None:
        if language is None:
            translation.deactivate_all()
        else:
            translation.activate(language)
        timezone.activate(time_zone)
        set_urlconf(urlconf)
        set_script_prefix(script_prefix)
        work()

    return lambda: context.run(run)
