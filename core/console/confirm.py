"""A page that asks for a confirmation before an operation runs. It names the object, the effects and the reason."""

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from core.console.admin import SlipwayAdmin
from core.console.fields import NumberField, TextField
from core.errors import SlipwayError
from core.text import parse_bigint


class ReasonForm(forms.Form):
    reason = TextField(required=False, max_length=500, help_text="The history stores the reason.")


class PaceForm(ReasonForm):
    pace = NumberField(
        initial=1.0,
        min_value=0.001,
        max_value=10.0,
        help_text="The factor for the times of the policies: 1 keeps them, 0.05 shortens 10 min to 30 s.",
    )


def confirmation_form(word: str) -> type[ReasonForm]:
    """Return a form that asks the user to type the word, so that no operation starts by accident."""

    def require_word(text: str) -> None:
        if text != word:
            raise forms.ValidationError(f"The text must be {word}.")

    field = TextField(label=f"Type {word} to confirm", validators=[require_word])
    return type("ConfirmationForm", (ReasonForm,), {"typed": field})


def verb_page(
    model_admin: SlipwayAdmin,
    request: HttpRequest,
    *,
    label: str,
    subject: str,
    permission: str,
    plan: Sequence[str],
    operation: Callable[[dict[str, Any]], object],
    return_url: str,
    form: type[forms.Form] = ReasonForm,
    seen: int = 0,
    is_destructive: bool = False,
    nothing_to_do: str = "",
) -> HttpResponse:
    """Show the confirmation page on GET. On POST run the operation and redirect to `return_url`.

    If the operation raises SlipwayError, its message is shown at `return_url`.

    label, subject: the verb and the object that it applies to.
    plan: the sentences that describe the effects of the operation.
    operation: called with the form's values and `seen`. If it returns a text, the text is the success message; if it
        returns a response, the response replaces the redirect.
    seen: a version of the object, such as its epoch, that the page sends back, so that the operation can refuse if the
        object changed after the user opened the page. The operation gets -1 if the page sent no valid number.
    is_destructive: makes the button red.
    nothing_to_do: the reason why the operation has nothing to do; if it is not empty, GET shows it instead of the page.
    Raises PermissionDenied if the user lacks the permission.
    """
    if not request.user.has_perm(permission):
        raise PermissionDenied
    if nothing_to_do and request.method != "POST":
        messages.info(request, nothing_to_do)
        return HttpResponseRedirect(return_url)
    filled = form(request.POST if request.method == "POST" else None)
    if request.method == "POST" and filled.is_valid():
        try:
            result = operation(filled.cleaned_data | {"seen": _seen(request)})
        except SlipwayError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, result if isinstance(result, str) else f"{label}: {subject}")
            if isinstance(result, HttpResponse):
                return result
        return HttpResponseRedirect(return_url)
    context = model_admin.admin_site.each_context(request) | {
        "title": f"{label}: {subject}?",
        "opts": model_admin.opts,
        "label": label,
        "plan": plan,
        "form": filled,
        "seen": request.POST.get("seen", seen),
        "back": return_url,
        "variant": "danger" if is_destructive else "primary",
    }
    return TemplateResponse(request, "console/verb.html", context)


def _seen(request: HttpRequest) -> int:
    """Return the posted version of the object, -1 if it is not a number."""
    version = parse_bigint(request.POST.get("seen", ""))
    return -1 if version is None else version
