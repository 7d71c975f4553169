"""Pages that give up after a moment if another session locks a table, instead of holding a thread each."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from core.db.lock_wait import unless_locked


def page_unless_locked(
    request: HttpRequest, show: Callable[[], Any], instead: Callable[[], HttpResponse], remedy: str = "try again"
) -> HttpResponse:
    """Return the page with its content; if another session locks a table, return another one with a message.

    show: returns the page, which is also rendered within the limit.
    instead: returns the other page, such as a redirect.
    """

    def render() -> HttpResponse:
        page = show()
        return page.render() if hasattr(page, "render") else page  # type: ignore[no-any-return]

    page = unless_locked(render)
    if page is not None:
        return page
    messages.error(request, f"cannot show the page: another session locks a table; {remedy}")
    return instead()


class ListUnlessLocked:
    """Admin pages whose list gives up after a moment if another session locks a table. It goes before the base."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list. If another session locks a table, show the home page instead of waiting."""
        show = partial(super().changelist_view, request, extra_context)  # type: ignore[misc]
        return page_unless_locked(request, show, lambda: HttpResponseRedirect(reverse("admin:index")))
