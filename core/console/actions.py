"""Admin actions that ask for a confirmation before they act."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from core.console.admin import SlipwayAdmin
from core.errors import SlipwayError

NAMED_AT_MOST = 30  # objects named on a confirmation page


class Operation(Protocol):
    """An operation on rows. It takes their primary keys and returns how many it changed."""

    def __call__(self, rows: Sequence[int], /, *, actor: Any) -> int: ...


def verb(
    operation: Operation,
    *,
    label: str,
    permission: str,
    consequence: str,
    is_destructive: bool = False,
    done: str = "changed {changed} of {chosen} selected.",
) -> Callable[..., HttpResponse | None]:
    """Return an admin action that names the selected objects and calls the operation when the user has confirmed.

    permission: shows the action to users who have it; its codename is the action's name.
    consequence: a sentence for the confirmation page that names the effect of the operation.
    is_destructive: makes the button red.
    done: the message after the operation, with the placeholders `changed` and `chosen`, both numbers of rows.
    """

    def act(model_admin: SlipwayAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        if "confirmed" not in request.POST:
            return ask(model_admin, request, queryset)
        chosen = list(queryset.values_list("pk", flat=True))
        try:
            changed = operation(chosen, actor=request.user)
        except SlipwayError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"{label}: {done.format(changed=changed, chosen=len(chosen))}")
        return None

    def ask(model_admin: SlipwayAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        is_everything = request.POST.get("select_across") == "1"
        number = queryset.count()
        context = model_admin.admin_site.each_context(request) | {
            "title": f"{label}: {_counted(model_admin.opts, number)}?",
            "variant": "danger" if is_destructive else "primary",
            "opts": model_admin.opts,
            "label": label,
            "consequence": consequence,
            "objects": queryset[:NAMED_AT_MOST],
            "unnamed": max(0, number - NAMED_AT_MOST),
            "action": act.__name__,
            "checkbox": ACTION_CHECKBOX_NAME,
            # A flag and the filters in the address select all rows of a list, instead of thousands of form fields.
            "everything": is_everything,
            "selected": list(queryset.values_list("pk", flat=True)[: 1 if is_everything else None]),
        }
        return TemplateResponse(request, "console/confirm.html", context)

    act.__name__ = permission.rpartition(".")[2]
    act.short_description = label  # type: ignore[attr-defined]
    act.permission = permission  # type: ignore[attr-defined]
    act.asks = True  # type: ignore[attr-defined]
    return act


def _counted(opts: Any, number: int) -> str:
    return f"{number:,} {opts.verbose_name if number == 1 else opts.verbose_name_plural}"
