"""Rollouts in the admin: where each stands and why, the verbs, and what its stages ask."""

from collections.abc import Callable, Sequence
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

from core.console.admin import SlipwayAdmin, TabularInline
from core.console.badges import ago, badge, on_off
from core.console.confirm import PaceForm, ReasonForm, verb_page
from core.console.fields import TextField
from core.console.keyset import KeysetAdmin
from core.switches import Part
from rollout import status
from rollout.admin import confirmations, context
from rollout.choices import RunState, Stage
from rollout.control.dispatch import act
from rollout.models import Activation, GuardPolicy, Rollout, StagePolicy, Transition
from rollout.operations import lifecycle, policies
from rollout.recovery.admin import RecoveryRunAdmin, SnapshotAdmin

LISTS = {ArrayField: {"widget": TextField.widget}}
__all__ = ["RecoveryRunAdmin", "RolloutAdmin", "SnapshotAdmin", "StagePolicyAdmin", "TransitionAdmin"]
FREEZING = {"freeze": lifecycle.freeze, "unfreeze": lifecycle.unfreeze}


class PolicyInline(TabularInline):
    """Rows are the migration's, or come with the rollout: edited, never added or deleted."""

    extra = 0
    can_delete = False
    ordering = ["pk"]
    formfield_overrides = LISTS

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The theme's rows have their labels above the table, where no screen reader looks."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            field.widget.attrs["aria-label"] = capfirst(db_field.verbose_name)
        return field


class StagePolicyInline(PolicyInline):
    model = StagePolicy
    fields = policies.FIELDS[StagePolicy]
    show_change_link = True
    verbose_name_plural = "What its stages ask; each one's guards are behind Change"


class GuardPolicyInline(PolicyInline):
    model = GuardPolicy
    fields = ["guard", *policies.FIELDS[GuardPolicy]]
    readonly_fields = ["guard"]
    verbose_name_plural = "Guards"


class PoliciesAdmin(SlipwayAdmin):
    formfield_overrides = LISTS

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        policies.save(formset.save(commit=False), actor=request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Rollout)
class RolloutAdmin(PoliciesAdmin):
    intro = "Each new way of serving, and how far it is: it advances on evidence and goes back by itself."
    when_empty = "They come with the migrations, or with the button above."
    list_before_template = "console/rollouts.html"
    change_form_outer_before_template = "console/rollout.html"
    change_form_outer_after_template = "console/rollout_after.html"
    list_display = ["name", "stage_now", "state_now", "share", "entered"]
    fields = ["name"]

    def edited_with(self, row: Rollout) -> list[Sequence[Any]]:
        return policies.policies_of(row)

    def get_readonly_fields(self, request: HttpRequest, obj: Rollout | None = None) -> list[str]:
        return ["name"] if obj else []

    def get_inlines(self, request: HttpRequest, obj: Rollout | None) -> list[Any]:
        return [StagePolicyInline] if obj else []

    def has_change_permission(self, request: HttpRequest, obj: Rollout | None = None) -> bool:
        """Of a rollout itself nothing is edited; its inlines ask for their own."""
        return request.user.has_perm("rollout.change_stagepolicy")

    def save_model(self, request: HttpRequest, obj: Rollout, form: Any, change: bool) -> None:
        if not change:
            obj.pk = policies.create(obj.name, actor=request.user).pk

    def get_urls(self) -> list[URLPattern]:
        own = [self.page(f"{verb}/", self._freezing(verb), f"rollout_{verb}") for verb in FREEZING]
        own += [self.page(f"<int:pk>/{verb}/", self._acting(verb), f"rollout_{verb}") for verb in context.VERBS]
        own.append(self.page("<int:pk>/live/", self.live, "rollout_live"))
        own.append(self.page("<int:pk>/timeline/", self.timeline, "rollout_timeline"))
        return own + super().get_urls()  # type: ignore[no-any-return]

    def of_row(self, request: HttpRequest, row: Rollout) -> dict[str, Any]:
        """Its policies are saved, not one more rollout."""
        return {"show_save_and_add_another": False} | self._shown(request, row) | self._timeline(row)

    def live(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that moves."""
        return TemplateResponse(request, "console/rollout_live.html", self._shown(request, self._seen(request, pk)))

    def timeline(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Only where something was added to what the page has."""
        rollout = self._seen(request, pk)
        if request.GET.get("known") == context.newest(rollout):
            return HttpResponse(status=204)
        return TemplateResponse(request, "console/rollout_timeline.html", self._timeline(rollout))

    def _seen(self, request: HttpRequest, pk: int) -> Rollout:
        rollout = get_object_or_404(Rollout, pk=pk)
        if not self.has_view_permission(request, rollout):
            raise PermissionDenied
        return rollout

    def _shown(self, request: HttpRequest, rollout: Rollout) -> dict[str, Any]:
        base = _address("changelist") + f"{rollout.pk}/"
        return {"live": f"{base}live/", "base": base} | context.shown(rollout, request.user)

    def _timeline(self, rollout: Rollout) -> dict[str, Any]:
        known = context.newest(rollout)
        history = f"{_address('changelist')}{rollout.pk}/timeline/?known={known}"
        return {"timeline": context.timeline(rollout), "known": known, "history": history}

    def _acting(self, verb: str) -> Callable[..., HttpResponse]:
        def ask(request: HttpRequest, pk: int) -> HttpResponse:
            rollout = get_object_or_404(Rollout, pk=pk)
            permission, states = context.VERBS[verb]
            state = RunState(rollout.run_state)
            return verb_page(
                self,
                request,
                label=verb.capitalize(),
                subject=rollout.name,
                permission=f"rollout.{permission}",
                plan=confirmations.told(verb, context.standing(rollout)),
                act=lambda filled: _act(verb, rollout, request, **filled),
                back=_address("change", pk),
                form=PaceForm if verb == "start" else ReasonForm,
                seen=rollout.epoch,
                takes_away=verb == "abort",
                idle="" if state in states else f"{rollout.name} is {state.label.lower()}: nothing to {verb}",
            )

        return ask

    def _freezing(self, verb: str) -> Callable[..., HttpResponse]:
        def ask(request: HttpRequest) -> HttpResponse:
            return verb_page(
                self,
                request,
                label=verb.capitalize(),
                subject="automatic advances of all rollouts",
                permission=f"rollout.{verb}_rollout",
                plan=confirmations.told(verb, confirmations.NOWHERE),
                act=lambda filled: FREEZING[verb](actor=request.user, reason=filled["reason"]),
                back=_address("changelist"),
            )

        return ask

    def of_list(self, request: HttpRequest) -> dict[str, Any]:
        switch = "freeze" if Activation.objects.allows(Part.ADVANCING) else "unfreeze"
        may = request.user.has_perm(f"rollout.{switch}_rollout")
        return {"banners": status.banners(), "switch": switch if may else "", "switch_to": _address(switch)}

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


def _act(verb: str, rollout: Rollout, request: HttpRequest, *, seen: int, reason: str, pace: float = 1.0) -> object:
    """On the rollout as its reader saw it. Raises Overtaken, Refused or WrongInput."""
    if seen != rollout.epoch:
        raise lifecycle.Overtaken(f"{rollout.name} has moved since you were asked", "look where it stands now")
    return act(verb, rollout, actor=request.user, reason=reason, pace=pace)


def _address(page: str, *args: Any) -> str:
    name = page if page in FREEZING else f"rollout_{page}"
    return reverse(f"admin:rollout_{name}", args=args)


@admin.register(StagePolicy)
class StagePolicyAdmin(PoliciesAdmin):
    intro = "What a stage asks of a rollout before it lets it on, and what takes it back."
    list_display = [
        "__str__",
        *("approval" if name == "needs_approval" else name for name in policies.FIELDS[StagePolicy]),
    ]
    list_filter = ["rollout"]
    list_select_related = ["rollout"]
    ordering = ["rollout", "pk"]
    fields = ["rollout", "stage", *policies.FIELDS[StagePolicy]]
    readonly_fields = ["rollout", "stage"]
    inlines = [GuardPolicyInline]

    def edited_with(self, row: StagePolicy) -> list[Sequence[Any]]:
        return [[row], list(row.guards.all())]

    @admin.display(description="Needs approval", ordering="needs_approval")
    def approval(self, policy: StagePolicy) -> SafeString:
        return on_off(policy.needs_approval, "yes", "no")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: StagePolicy, form: Any, change: bool) -> None:
        policies.save([obj], actor=request.user)


@admin.register(Transition)
class TransitionAdmin(KeysetAdmin):
    intro = "Every change of a rollout: what, who, why, and on which evidence. Kept for two years."
    when_empty = "Start a rollout:"
    command = "python manage.py rollout start --pace 0.05"
    list_display = ["when", "rollout", "verb", "where", "actor", "reason"]
    list_filter = ["rollout", "verb", "to_stage"]
    list_select_related = ["rollout"]

    @admin.display(description="When")
    def when(self, move: Transition) -> SafeString | str:
        return ago(move.at)

    @admin.display(description="To")
    def where(self, move: Transition) -> SafeString:
        return badge(Stage(move.to_stage))
