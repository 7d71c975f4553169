"""A page that asks before a verb is carried out: what it is about, what will change for whom, and why it is done."""

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


class ReasonForm(forms.Form):
    reason = TextField(required=False, max_length=500, help_text="kept in the history, for whoever asks later")


class PaceForm(ReasonForm):
    pace = NumberField(
        initial=1.0,
        min_value=0.001,
        max_value=10.0,
        help_text="1 is as the policies say; 0.05 makes ten minutes half a minute",
    )


def typed(word: str) -> type[ReasonForm]:
    """For what is not to be begun by a slip of the hand: it asks for a word."""

    def require(said: str) -> None:
        if said != word:
            raise forms.ValidationError(f"type {word}")

    field = TextField(label=f"Type {word} to confirm", validators=[require])
    return type("TypedForm", (ReasonForm,), {"typed": field})


def verb_page(
    model_admin: SlipwayAdmin,
    request: HttpRequest,
    *,
    label: str,
    subject: str,
    permission: str,
    plan: Sequence[str],
    act: Callable[[dict[str, Any]], object],
    back: str,
    form: type[forms.Form] = ReasonForm,
    seen: int = 0,
    takes_away: bool = False,
    idle: str = "",
) -> HttpResponse:
    """GET asks; POST carries it out and goes back. act: is given what the form holds, and `seen`, which comes along so
    that a late confirmation is for what its reader saw; a text that it returns is shown, and a page gone to. An
    operation that refuses is one line on the page gone back to. takes_away: the button is red. idle: why there is
    nothing to be done, which is said instead of asking.
    """
    if not request.user.has_perm(permission):
        raise PermissionDenied
    if idle and request.method != "POST":
        messages.info(request, idle)
        return HttpResponseRedirect(back)
    filled = form(request.POST if request.method == "POST" else None)
    if request.method == "POST" and filled.is_valid():
        said = request.POST.get("seen", "")
        try:
            done = act(filled.cleaned_data | {"seen": int(said) if said.isdecimal() and len(said) < 19 else -1})
        except SlipwayError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, done if isinstance(done, str) else f"{label}: {subject}")
            if isinstance(done, HttpResponse):
                return done
        return HttpResponseRedirect(back)
    context = model_admin.admin_site.each_context(request) | {
        "title": f"{label}: {subject}?",
        "opts": model_admin.opts,
        "label": label,
        "plan": plan,
        "form": filled,
        "seen": request.POST.get("seen", seen),
        "back": back,
        "variant": "danger" if takes_away else "primary",
    }
    return TemplateResponse(request, "console/verb.html", context)
