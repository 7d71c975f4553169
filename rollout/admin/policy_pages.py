"""The pages on which policies are edited: those of a stage, and the parts of a rollout's page."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.fields import ArrayField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from core.console.admin import SlipwayAdmin, TabularInline
from core.console.badges import on_off
from core.console.fields import TextField
from core.console.locks import ListUnlessLocked, page_unless_locked
from rollout.models import GuardPolicy, StagePolicy
from rollout.operations import policies

LIST_WIDGETS = {ArrayField: {"widget": TextField.widget}}


class VersionedForm(forms.ModelForm):  # type: ignore[type-arg]
    """The form of a stage's policy, which sends back the version with which the page was opened."""

    version = forms.IntegerField(widget=forms.HiddenInput)


class WithVersion:
    """Pages with a form that has the version of a policy, which is of no use without the permission to edit."""

    form = VersionedForm

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Return the names of the form's fields."""
        names: list[str] = list(super().get_fields(request, obj))  # type: ignore[misc]
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
    fields = ["guard", *policies.EDITABLE_FIELDS[GuardPolicy]]
    readonly_fields = ["guard"]
    verbose_name_plural = "Guards"


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

    def edited_rows(self, row: StagePolicy) -> list[Sequence[Any]]:
        return [[row], list(row.guards.all())]

    @admin.display(description="Needs approval", ordering="needs_approval")
    def approval(self, policy: StagePolicy) -> SafeString:
        return on_off(policy.needs_approval, "yes", "no")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: StagePolicy, form: Any, change: bool) -> None:
        """Store nothing yet: `save_related` saves the policy together with its guards."""
