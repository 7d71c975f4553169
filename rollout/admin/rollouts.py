"""Rollouts in the admin: the page of each rollout with its verbs, the policies of its stages, and its transitions."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from core.access.actors import Actor
from core.console.admin import SlipwayAdmin, TabularInline
from core.console.badges import ago, badge, on_off
from core.console.confirm import PaceForm, ReasonForm, verb_page
from core.console.fields import TextField
from core.console.keyset import KeysetAdmin
from core.switches import Part
from rollout import status
from rollout.admin import confirmations, context
from rollout.choices import RunState, Stage
from rollout.control.dispatch import apply_verb
from rollout.models import Activation, GuardPolicy, Rollout, StagePolicy, Transition
from rollout.operations import lifecycle, policies

__all__ = ["RolloutAdmin", "StagePolicyAdmin", "TransitionAdmin"]
LIST_WIDGETS = {ArrayField: {"widget": TextField.widget}}
SWITCHES = {"freeze": lifecycle.freeze, "unfreeze": lifecycle.unfreeze}


class PolicyInline(TabularInline):
    """Policies on the page of what they belong to. A rollout comes with them, so none is added or deleted."""

    extra = 0
    can_delete = False
    ordering = ["pk"]
    formfield_overrides = LIST_WIDGETS

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Return the form field, with its label as an attribute.

        The theme shows the labels above the table alone, where a screen reader does not relate them to a field.
        """
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            field.widget.attrs["aria-label"] = capfirst(db_field.verbose_name)
        return field


class StagePolicyInline(PolicyInline):
    model = StagePolicy
    fields = policies.EDITABLE_FIELDS[StagePolicy]
    show_change_link = True
    verbose_name_plural = "Policies of its stages; Change shows the guards of a stage"


class GuardPolicyInline(PolicyInline):
    model = GuardPolicy
    fields = ["guard", *policies.EDITABLE_FIELDS[GuardPolicy]]
    readonly_fields = ["guard"]
    verbose_name_plural = "Guards"


class PoliciesAdmin(SlipwayAdmin):
    """The base of pages on which policies are edited."""

    formfield_overrides = LIST_WIDGETS

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        policies.save_policies(formset.save(commit=False), actor=request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Rollout)
class RolloutAdmin(PoliciesAdmin):
    intro = "Each new way of serving and its stage. A rollout advances on evidence and goes back by itself."
    when_empty = "They come with the migrations, or with the button above."
    list_before_template = "console/rollouts.html"
    change_form_outer_before_template = "console/rollout.html"
    change_form_outer_after_template = "console/rollout_after.html"
    list_display = ["name", "stage_now", "state_now", "share", "entered"]
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
        """Return the part of the page that is refreshed again and again."""
        rollout = self._visible_rollout(request, pk)
        return TemplateResponse(request, "console/rollout_live.html", _live_context(request, rollout))

    def timeline(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return the timeline; 204 if the page has its newest version already."""
        rollout = self._visible_rollout(request, pk)
        if request.GET.get("known") == context.timeline_version(rollout):
            return HttpResponse(status=204)
        return TemplateResponse(request, "console/rollout_timeline.html", _timeline_context(rollout))

    def act(self, request: HttpRequest, pk: int, verb: str) -> HttpResponse:
        """Ask for a confirmation of a verb on one rollout, and carry it out."""
        rollout = get_object_or_404(Rollout, pk=pk)
        rule, run_state = context.VERB_RULES[verb], RunState(rollout.run_state)
        has_effect = run_state in rule.states
        return verb_page(
            self,
            request,
            label=verb.capitalize(),
            subject=rollout.name,
            permission=rule.permission,
            plan=confirmations.describe_verb(verb, context.position(rollout)),
            operation=lambda filled: _apply_if_unchanged(
                verb,
                rollout,
                request.user,
                seen=filled["seen"],
                reason=filled["reason"],
                pace=filled.get("pace", 1.0),
            ),
            return_url=_address("change", pk),
            form=PaceForm if verb == "start" else ReasonForm,
            seen=rollout.epoch,
            is_destructive=verb == "abort",
            nothing_to_do="" if has_effect else f"{rollout.name} is {run_state.label.lower()}: nothing to {verb}",
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

    @admin.display(description="Stage")
    def stage_now(self, rollout: Rollout) -> SafeString:
        return badge(Stage(rollout.stage))

    @admin.display(description="State")
    def state_now(self, rollout: Rollout) -> SafeString:
        return badge(RunState(rollout.run_state))

    @admin.display(description="Candidate serves")
    def share(self, rollout: Rollout) -> str:
        return f"{rollout.percent} %"

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


def _timeline_context(rollout: Rollout) -> dict[str, Any]:
    known = context.timeline_version(rollout)
    history = f"{_address('changelist')}{rollout.pk}/timeline/?known={known}"
    return {"timeline": context.timeline(rollout), "known": known, "history": history}


def _apply_if_unchanged(
    verb: str, rollout: Rollout, actor: Actor, *, seen: int, reason: str, pace: float
) -> Transition:
    """Carry out the verb on the rollout as the user read it. Raises Overtaken, Refused or WrongInput.

    seen: the epoch of the rollout when the page was opened.
    """
    if seen != rollout.epoch:
        raise lifecycle.Overtaken(f"cannot {verb} {rollout.name}: it changed after you opened the page", "try again")
    return apply_verb(verb, rollout, actor=actor, reason=reason, pace=pace)


def _address(page: str, *args: Any) -> str:
    name = page if page in SWITCHES else f"rollout_{page}"
    return reverse(f"admin:rollout_{name}", args=args)


@admin.register(StagePolicy)
class StagePolicyAdmin(PoliciesAdmin):
    intro = "What a stage requires of a rollout before it lets it advance, and what takes the rollout back."
    list_display = [
        "__str__",
        *("approval" if name == "needs_approval" else name for name in policies.EDITABLE_FIELDS[StagePolicy]),
    ]
    list_filter = ["rollout"]
    list_select_related = ["rollout"]
    ordering = ["rollout", "pk"]
    fields = ["rollout", "stage", *policies.EDITABLE_FIELDS[StagePolicy]]
    readonly_fields = ["rollout", "stage"]
    inlines = [GuardPolicyInline]

    def edited_rows(self, row: StagePolicy) -> list[Sequence[Any]]:
        return [[row], list(row.guards.all())]

    @admin.display(description="Needs approval", ordering="needs_approval")
    def approval(self, policy: StagePolicy) -> SafeString:
        return on_off(policy.needs_approval, "yes", "no")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: StagePolicy, form: Any, change: bool) -> None:
        policies.save_policies([obj], actor=request.user)


@admin.register(Transition)
class TransitionAdmin(KeysetAdmin):
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
