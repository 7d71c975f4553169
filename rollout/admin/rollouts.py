"""Rollouts in the admin: the page of each rollout with its verbs, the policies of its stages, and its transitions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.validators import validate_slug
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.safestring import SafeString

from core.access.actors import Actor
from core.console.badges import ago, badge
from core.console.confirm import PaceForm, ReasonForm, verb_page
from core.console.fields import TextField
from core.console.keyset import KeysetAdmin
from core.console.locks import ListUnlessLocked
from core.db.lock_wait import unless_locked
from core.switches import Part
from rollout import status
from rollout.admin import confirmations, context
from rollout.admin.policy_pages import PoliciesAdmin, StagePolicyInline
from rollout.choices import RunState, Stage
from rollout.control.dispatch import apply_verb
from rollout.models import Activation, Rollout, Transition
from rollout.operations import lifecycle, policies

__all__ = ["RolloutAdmin", "TransitionAdmin"]
SWITCHES = {"freeze": lifecycle.freeze, "unfreeze": lifecycle.unfreeze}


class CloneForm(ReasonForm):
    name = TextField(
        max_length=50,
        validators=[validate_slug],
        help_text="The name of the new rollout, as applications pass it to gate().",
    )
    field_order = ("name", "reason")


FORMS: Mapping[str, type[ReasonForm]] = {"start": PaceForm, "clone": CloneForm}


class ArchivedFilter(admin.SimpleListFilter):
    """The filter that hides archived rollouts unless they are asked for."""

    title = "archived"
    parameter_name = "archived"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Archived"), ("all", "All")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        default, *others = super().choices(changelist)
        yield {**default, "display": "Not archived"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Rollout]) -> QuerySet[Rollout]:
        if self.value() == "all":
            return queryset
        return queryset.filter(archived_at__isnull=self.value() != "yes")


@admin.register(Rollout)
class RolloutAdmin(PoliciesAdmin):
    intro = "Each new way of serving and its stage. A rollout advances on evidence and goes back by itself."
    when_empty = "They come with the migrations, or with the button above."
    list_before_template = "console/rollouts.html"
    change_form_outer_before_template = "console/rollout.html"
    change_form_outer_after_template = "console/rollout_after.html"
    list_display = ["name", "stage_now", "state_now", "share", "entered"]
    list_filter = [ArchivedFilter]
    fields = ["name"]

    def edited_rows(self, row: Rollout) -> list[Sequence[Any]]:
        return policies.policies_of(row)

    def get_readonly_fields(self, request: HttpRequest, obj: Rollout | None = None) -> list[str]:
        return ["name"] if obj else []

    def get_inlines(self, request: HttpRequest, obj: Rollout | None) -> list[Any]:
        return [StagePolicyInline] if obj else []

    def has_change_permission(self, request: HttpRequest, obj: Rollout | None = None) -> bool:
        """Return whether the policies may be edited. The rollout itself has no editable field."""
        return request.user.has_perm("rollout.change_stagepolicy")

    def save_model(self, request: HttpRequest, obj: Rollout, form: Any, change: bool) -> None:
        if not change:
            obj.pk = policies.create_rollout(obj.name, actor=request.user).pk

    def get_urls(self) -> list[URLPattern]:
        pages = [self.page(f"{verb}/", self.switch, f"rollout_{verb}", verb=verb) for verb in SWITCHES]
        pages += [self.page(f"<int:pk>/{verb}/", self.act, f"rollout_{verb}", verb=verb) for verb in context.VERB_RULES]
        pages.append(self.page("<int:pk>/live/", self.live, "rollout_live"))
        pages.append(self.page("<int:pk>/timeline/", self.timeline, "rollout_timeline"))
        return pages + super().get_urls()  # type: ignore[no-any-return]

    def row_context(self, request: HttpRequest, row: Rollout) -> dict[str, Any]:
        """Return the context of the page. Saving it saves the policies, so it does not offer to add a rollout."""
        return {"show_save_and_add_another": False} | _live_context(request, row) | _timeline_context(row)

    def live(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return the part of the page that is refreshed again and again; 204 if a table stays locked."""
        rollout = self._visible_rollout(request, pk)
        template = "console/rollout_live.html"
        return _unless_locked(lambda: TemplateResponse(request, template, _live_context(request, rollout)))

    def timeline(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return the timeline; 204 if the page has its newest version already, or if a table stays locked."""
        rollout = self._visible_rollout(request, pk)

        def answer() -> HttpResponse:
            if request.GET.get("known") == context.timeline_version(rollout):
                return HttpResponse(status=204)
            return TemplateResponse(request, "console/rollout_timeline.html", _timeline_context(rollout))

        return _unless_locked(answer)

    def act(self, request: HttpRequest, pk: int, verb: str) -> HttpResponse:
        """Ask for a confirmation of a verb on one rollout, and carry it out."""
        rollout = get_object_or_404(Rollout, pk=pk)
        return verb_page(
            self,
            request,
            label=verb.capitalize(),
            subject=rollout.name,
            permission=context.VERB_RULES[verb].permission,
            plan=confirmations.describe_verb(verb, context.position(rollout)),
            operation=lambda filled: _apply(verb, rollout, request.user, filled),
            return_url=_address("change", pk),
            form=FORMS.get(verb, ReasonForm),
            seen=rollout.epoch,
            is_destructive=verb == "abort",
            nothing_to_do=context.nothing_to_do(verb, rollout),
        )

    def switch(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Ask for a confirmation of freezing or unfreezing all rollouts, and carry it out."""
        return verb_page(
            self,
            request,
            label=verb.capitalize(),
            subject="automatic advances of all rollouts",
            permission=f"rollout.{verb}_rollout",
            plan=confirmations.describe_switch(verb),
            operation=lambda filled: SWITCHES[verb](actor=request.user, reason=filled["reason"]),
            return_url=_address("changelist"),
        )

    def list_context(self, request: HttpRequest) -> dict[str, Any]:
        verb = "freeze" if Activation.objects.allows(Part.ADVANCING) else "unfreeze"
        is_allowed = request.user.has_perm(f"rollout.{verb}_rollout")
        return {"banners": status.banners(), "switch": verb if is_allowed else "", "switch_to": _address(verb)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rollout]:
        rollouts: QuerySet[Rollout] = super().get_queryset(request)
        return rollouts.prefetch_related("policies")

    @admin.display(description="Stage")
    def stage_now(self, rollout: Rollout) -> SafeString:
        return badge(Stage(rollout.stage))

    @admin.display(description="State")
    def state_now(self, rollout: Rollout) -> SafeString:
        return badge(RunState(rollout.run_state))

    @admin.display(description="Candidate serves")
    def share(self, rollout: Rollout) -> str:
        return f"{rollout.served_percent} %"

    @admin.display(description="Since")
    def entered(self, rollout: Rollout) -> SafeString | str:
        return ago(rollout.stage_entered_at)

    def _visible_rollout(self, request: HttpRequest, pk: int) -> Rollout:
        """Return the rollout. Raises Http404, or PermissionDenied if the user may not view it."""
        rollout = get_object_or_404(Rollout, pk=pk)
        if not self.has_view_permission(request, rollout):
            raise PermissionDenied
        return rollout


def _live_context(request: HttpRequest, rollout: Rollout) -> dict[str, Any]:
    base = f"{_address('changelist')}{rollout.pk}/"
    return {"live": f"{base}live/", "base": base} | context.live_context(rollout, request.user)


def _unless_locked(answer: Callable[[], HttpResponse]) -> HttpResponse:
    """Return the answer, a part of a page; 204 if a table stays locked: then the browser keeps what it shows."""
    return unless_locked(answer) or HttpResponse(status=204)


def _timeline_context(rollout: Rollout) -> dict[str, Any]:
    known = context.timeline_version(rollout)
    history = f"{_address('changelist')}{rollout.pk}/timeline/?known={known}"
    return {"timeline": context.timeline(rollout), "known": known, "history": history}


def _apply(verb: str, rollout: Rollout, actor: Actor, filled: Mapping[str, Any]) -> object:
    """Carry out the verb. Return the transition, or for a clone the response that shows it.

    A verb applies to the rollout as the user read it, but an abort to the rollout as it is now.

    filled: the values of the form; `seen` is the epoch of the rollout when the page was opened.
    Raises Overtaken, Refused or WrongInput.
    """
    reason = filled["reason"]
    if verb == "clone":
        clone = policies.clone_rollout(rollout, filled["name"], actor=actor, reason=reason)
        return HttpResponseRedirect(_address("change", clone.pk))
    if verb != "abort" and filled["seen"] != rollout.epoch:
        raise lifecycle.Overtaken(f"cannot {verb} {rollout.name}: it changed after you opened the page", "try again")
    return apply_verb(verb, rollout, actor=actor, reason=reason, pace=filled.get("pace", 1.0))


def _address(page: str, *args: Any) -> str:
    name = page if page in SWITCHES else f"rollout_{page}"
    return reverse(f"admin:rollout_{name}", args=args)


@admin.register(Transition)
class TransitionAdmin(ListUnlessLocked, KeysetAdmin):
    intro = "Every change of a rollout: what, by whom, why, and on which evidence. Kept for two years."
    when_empty = "Start a rollout:"
    command = "python manage.py rollout start --pace 0.05"
    list_display = ["when", "rollout", "verb", "where", "actor", "reason"]
    list_filter = ["rollout", "verb", "to_stage"]
    list_select_related = ["rollout"]

    @admin.display(description="When")
    def when(self, transition: Transition) -> SafeString | str:
        return ago(transition.at)

    @admin.display(description="To")
    def where(self, transition: Transition) -> SafeString:
        return badge(Stage(transition.to_stage))
