"""The pages on which policies are edited: those of a stage, and the parts of a rollout's page."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.fields import ArrayField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, reverse
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from core.access.actors import Actor
from core.console.admin import SlipwayAdmin, TabularInline
from core.console.badges import on_off
from core.console.confirm import verb_page
from core.console.fields import TextField
from core.console.locks import ListUnlessLocked, page_unless_locked
from rollout.admin.policy_forms import GuardPolicyForm, OwnGuardForm, StagePolicyForm, idle_fields
from rollout.choices import Direction, Guard, Stage
from rollout.decisions.guards import OWN_GUARDS, guards_of
from rollout.models import GuardPolicy, StagePolicy
from rollout.operations import own_guards, policies
from rollout.operations.versions import with_deleted

LIST_WIDGETS = {ArrayField: {"widget": TextField.widget}}


class WithVersion:
    """Pages with a form that has the version of a policy, which is of no use without the permission to edit."""

    form = StagePolicyForm

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Return the names of the form's fields."""
        names: list[str] = list(super().get_fields(request, obj))  # type: ignore[misc]
        if isinstance(obj, StagePolicy):
            names = [name for name in names if name not in idle_fields(obj)]
        may_edit = request.user.has_perm("rollout.change_stagepolicy")
        return names if may_edit else [name for name in names if name != "version"]


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


class StagePolicyInline(WithVersion, PolicyInline):
    model = StagePolicy
    fields = [*policies.EDITABLE_FIELDS[StagePolicy], "version"]
    show_change_link = True
    verbose_name_plural = "Policies of its stages; Change shows the guards of a stage"


class GuardPolicyInline(PolicyInline):
    model = GuardPolicy
    form = GuardPolicyForm
    fields = ["judged", "own_metric", *policies.EDITABLE_FIELDS[GuardPolicy]]
    readonly_fields = ["judged", "own_metric"]
    template_before = "console/guard_fields.html"
    verbose_name_plural = "Guards"

    @admin.display(description="Guard")
    def judged(self, guard: GuardPolicy) -> str:
        """Return the guard's name. The limit of the hit rate is a share of misses, unlike its value on other pages."""
        is_inverted = guard.guard == Guard.HIT_RATE
        return f"{guard.get_guard_display()}: at most so many misses" if is_inverted else guard.get_guard_display()

    @admin.display(description="Own metric", empty_value="–")
    def own_metric(self, guard: GuardPolicy) -> str:
        return f"{guard.metric}: {Direction(guard.worse).label}" if guard.metric else ""


class PoliciesAdmin(ListUnlessLocked, SlipwayAdmin):
    """The base of pages on which policies are edited."""

    formfield_overrides = LIST_WIDGETS

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save what was edited on the page at once, so that all of it is stored or nothing."""
        edited = [form.instance] if form.changed_data and isinstance(form.instance, StagePolicy) else []
        edited += [policy for formset in formsets for policy in formset.save(commit=False)]
        if edited:
            policies.save_policies(edited, actor=request.user)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the form or save it. If another session locks a table, show the list instead of waiting."""
        show = partial(super().changeform_view, request, *args, **kwargs)
        instead = partial(self.response_post_save_change, request, None)
        return page_unless_locked(request, show, instead, "abort works all the same")

    def after_refusal(self, request: HttpRequest) -> HttpResponse:
        """Return the response after a save was refused: the page again, as it is now."""
        return HttpResponseRedirect(request.get_full_path())

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(StagePolicy)
class StagePolicyAdmin(WithVersion, PoliciesAdmin):
    intro = "What a stage requires of a rollout before it lets it advance, and what takes the rollout back."
    list_display = [
        "__str__",
        *("approval" if name == "needs_approval" else name for name in policies.EDITABLE_FIELDS[StagePolicy]),
    ]
    list_filter = ["rollout"]
    list_select_related = ["rollout"]
    ordering = ["rollout", "pk"]
    fields = ["rollout", "stage", *policies.EDITABLE_FIELDS[StagePolicy], "version"]
    readonly_fields = ["rollout", "stage"]
    inlines = [GuardPolicyInline]
    change_form_outer_after_template = "console/own_guards.html"

    def edited_rows(self, row: StagePolicy) -> list[Sequence[Any]]:
        return [[row], with_deleted([row])]

    def get_urls(self) -> list[URLPattern]:
        add = self.page("<int:pk>/guards/add/", self.add_guard, "rollout_own_guard_add")
        delete = self.page("<int:pk>/guards/<int:guard>/delete/", self.delete_guard, "rollout_own_guard_delete")
        return [add, delete, *super().get_urls()]

    def row_context(self, request: HttpRequest, row: StagePolicy) -> dict[str, Any]:
        """Return the context of the part below the form: the guards on own metrics, and what the user may do."""
        may_delete = request.user.has_perm("rollout.delete_guardpolicy")
        return {
            "own_guards": [
                (guard, reverse("admin:rollout_own_guard_delete", args=[row.pk, guard.pk]) if may_delete else "")
                for guard in row.guards.filter(guard__in=OWN_GUARDS)
            ],
            "are_own_guards_judged": _judges_own_guards(row),
            "add_own_guard": reverse("admin:rollout_own_guard_add", args=[row.pk])
            if request.user.has_perm("rollout.add_guardpolicy")
            else "",
        }

    def add_guard(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask for a new guard on an own metric, and store it."""
        policy = get_object_or_404(StagePolicy.objects.select_related("rollout"), pk=pk)
        return verb_page(
            self,
            request,
            label="Add a guard",
            subject=f"{policy}",
            permission="rollout.add_guardpolicy",
            plan=["It compares the candidate with control by a metric of your own code, from the next tick on."],
            operation=lambda filled: _add_guard(policy, filled, request.user),
            return_url=reverse("admin:rollout_stagepolicy_change", args=[pk]),
            form=OwnGuardForm,
            seen=policy.version,
        )

    def delete_guard(self, request: HttpRequest, pk: int, guard: int) -> HttpResponse:
        """Ask for a confirmation of deleting a guard on an own metric, and delete it."""
        rows = GuardPolicy.objects.select_related("policy__rollout")
        row = get_object_or_404(rows, pk=guard, policy=pk, guard__in=OWN_GUARDS)
        return verb_page(
            self,
            request,
            label="Delete the guard",
            subject=f"{row}",
            permission="rollout.delete_guardpolicy",
            plan=["From the next tick on, nothing is judged by this metric in this stage. Its history is kept."],
            operation=lambda filled: _delete_guard(row, filled["seen"], request.user),
            return_url=reverse("admin:rollout_stagepolicy_change", args=[pk]),
            form=forms.Form,
            seen=row.policy.version,
            is_destructive=True,
        )

    @admin.display(description="Needs approval", ordering="needs_approval")
    def approval(self, policy: StagePolicy) -> SafeString:
        return on_off(policy.needs_approval, "yes", "no")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: StagePolicy, form: Any, change: bool) -> None:
        """Store nothing yet: `save_related` saves the policy together with its guards."""


def _judges_own_guards(policy: StagePolicy) -> bool:
    guards = guards_of(Stage(policy.stage), has_hold_back=policy.hold_back_percent > 0)
    return not set(OWN_GUARDS).isdisjoint(guards)


def _add_guard(policy: StagePolicy, filled: Mapping[str, Any], actor: Actor) -> None:
    """Store the guard that the form describes, if the stage's policies are as they were when the page was opened."""
    settings = {name: value for name, value in filled.items() if name != "seen"}
    policy.version = filled["seen"]
    own_guards.add_own_guard(GuardPolicy(policy=policy, at_most=0, **settings), actor=actor)


def _delete_guard(guard: GuardPolicy, seen: int, actor: Actor) -> None:
    guard.policy.version = seen
    own_guards.delete_own_guard(guard, actor=actor)
