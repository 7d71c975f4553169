"""The fleet in the admin: provider states, providers, calls, changes of status."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.console.actions import verb
from core.console.admin import ConfigurationAdmin, ReadOnlyAdmin
from core.console.badges import ago, badge, on_off
from core.console.fields import ChoiceWidget
from providers import operations
from providers.adapter_names import adapter_names
from providers.admin.charts import history_context
from providers.admin.filters import CallProviderFilter, ProviderFilter
from providers.choices import PollOutcome, Status
from providers.models import CONFIGURATION, FetchAttempt, FleetAlert, Provider, ProviderState, StatusChange

MEASURED = [
    "status_now",
    "last_fetch_attempt",
    "last_successful_fetch",
    "last_error",
    "consecutive_errors",
    "total_requests",
    "successful_requests",
    "failed_requests",
    "average_response_time_ms",
    "total_props_fetched",
    "unique_props_seen",
    "last_prop_count",
    "created_at",
    "updated_at",
]


class FleetConfigurationAdmin(ConfigurationAdmin):
    """Pages whose edits also bring the poll slots up to date."""

    def save_row(self, row: Any, actor: Any) -> None:
        operations.save_configuration(row, actor=actor)

    def delete_rows(self, rows: Iterable[Any], actor: Any) -> None:
        for row in rows:
            operations.delete(row, actor=actor)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Return what a deletion removes: the names of the rows, and how many dependent rows go with them.

        Dependent rows are counted and not named, because there may be very many. They need no permission of their own.
        """
        names = [str(row) for row in objs]
        return names, {str(self.opts.verbose_name_plural): len(names)} | operations.count_dependents(objs), set(), []


@admin.register(ProviderState)
class ProviderStateAdmin(FleetConfigurationAdmin):
    intro = "Each provider and sport: whether it is enabled, and what polling measured."
    when_empty = "The catalogue creates them:"
    command = "python manage.py backfill_providers"
    list_display = ["name", "status_now", "wanted", "fetched", "success", "lines", "response", "every", "trouble"]
    list_filter = ["sport", ProviderFilter, "status", "is_enabled"]
    search_fields = ["provider__name"]
    search_help_text = "part of a provider's name"
    list_per_page = 50
    readonly_fields = MEASURED
    actions = [
        verb(
            operations.enable,
            label="Enable",
            permission="providers.enable_providerstate",
            consequence="Their polling starts. The first poll follows within seconds.",
        ),
        verb(
            operations.disable,
            label="Disable",
            permission="providers.disable_providerstate",
            consequence="Their polling stops. Their lines stay as they were at the last fetch.",
            is_destructive=True,
        ),
        verb(
            operations.poll_now,
            label="Poll now",
            permission="providers.poll_providerstate",
            consequence="Enabled states are polled within seconds, together with others of the same account and sport.",
        ),
        verb(
            operations.set_maintenance,
            label="Set to maintenance",
            permission="providers.maintain_providerstate",
            consequence="Their polling stops until an operator returns them to service.",
        ),
        verb(
            operations.return_to_service,
            label="Return to service",
            permission="providers.return_providerstate",
            consequence="The polling of states in maintenance starts again. The first good fetch makes them active.",
        ),
    ]

    change_form_outer_before_template = "console/state.html"

    def get_ordering(self, request: HttpRequest) -> list[str]:
        """Return the default order: enabled states first, active ones before those in error.

        The attribute `ordering` would do the same, and mark its columns as if the reader had sorted by them.
        """
        return ["-is_enabled", "status", "provider", "sport"]

    def row_context(self, request: HttpRequest, row: ProviderState) -> dict[str, Any]:
        return {"history": history_context(row)}

    def list_context(self, request: HttpRequest) -> dict[str, Any]:
        if not FleetAlert.objects.filter(since__isnull=False).exists():
            return {}
        cause = "check this machine first (network, name server, clock)"
        return {"banner": f"More than half of the fleet fails at the same time: {cause}."}

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        configuration = ("Configuration", {"fields": ["provider", "sport", *CONFIGURATION]})
        return [configuration, ("Measured", {"fields": MEASURED})] if obj else [configuration]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*MEASURED, "provider", "sport"] if obj else MEASURED

    @admin.display(description="Provider and sport", ordering="provider")
    def name(self, state: ProviderState) -> str:
        return str(state)

    @admin.display(description="Status", ordering="status")
    def status_now(self, state: ProviderState) -> SafeString:
        return badge(Status(state.status))

    @admin.display(description="Enabled", ordering="is_enabled")
    def wanted(self, state: ProviderState) -> SafeString:
        return on_off(state.is_enabled)

    @admin.display(description="Last good fetch", ordering="last_successful_fetch")
    def fetched(self, state: ProviderState) -> SafeString | str:
        return ago(state.last_successful_fetch)

    @admin.display(description="Success rate")
    def success(self, state: ProviderState) -> str:
        """Return the share of good calls. A state without calls has no rate, neither a good nor a bad one."""
        return f"{state.successful_requests / state.total_requests:.1%}" if state.total_requests else "no calls yet"

    @admin.display(description="Lines", ordering="last_prop_count")
    def lines(self, state: ProviderState) -> SafeString:
        return format_html('<span class="sw-number">{}</span>', f"{state.last_prop_count:,}")

    @admin.display(description="Response", ordering="average_response_time_ms")
    def response(self, state: ProviderState) -> str:
        return f"{state.average_response_time_ms:.0f} ms" if state.total_requests else ""

    @admin.display(description="Every", ordering="poll_interval_seconds")
    def every(self, state: ProviderState) -> str:
        return f"{state.poll_interval_seconds} s"

    @admin.display(description="Last error", ordering="last_error")
    def trouble(self, state: ProviderState) -> str:
        return state.last_error if len(state.last_error) < 70 else f"{state.last_error[:69]}…"


class ProviderForm(forms.ModelForm):  # type: ignore[type-arg]
    """The form of a provider. It offers the installed adapters, and the provider's own one even if it is missing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "adapter" in self.fields:  # it is missing for a user who may only look
            names = sorted({"", self.instance.adapter, *adapter_names()})
            self.fields["adapter"].widget = ChoiceWidget(choices=[(name, name) for name in names])


@admin.register(Provider)
class ProviderAdmin(FleetConfigurationAdmin):
    form = ProviderForm
    intro = "The upstreams: the API that each one speaks, its address, and the variable with its key."
    when_empty = "The catalogue creates them:"
    command = "python manage.py backfill_providers"
    list_display = ["name", "adapter", "base_url", "credential_env", "requests_per_minute", "priority"]
    list_filter = ["adapter", "is_priority"]
    search_fields = ["name"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["name"] if obj else []

    @admin.display(description="Priority", ordering="is_priority")
    def priority(self, provider: Provider) -> SafeString:
        return on_off(provider.is_priority, "yes", "no")


@admin.register(FetchAttempt)
class FetchAttemptAdmin(ReadOnlyAdmin):
    intro = "Every upstream call of the last 7 days."
    when_empty = "Calls are made for enabled providers:"
    command = "python manage.py poll_providers --once"
    list_display = ["started", "ended", "who", "sport", "path", "http_status", "took", "size", "message"]
    fields = ["started", "ended", "who", "sport", "path", "http_status", "took", "late", "size", "message"]
    list_filter = ["outcome", "sport", CallProviderFilter]
    ordering = ["-started_at"]

    @admin.display(description="Started", ordering="started_at")
    def started(self, attempt: FetchAttempt) -> SafeString | str:
        return ago(attempt.started_at)

    @admin.display(description="Outcome", ordering="outcome")
    def ended(self, attempt: FetchAttempt) -> SafeString:
        return badge(PollOutcome(attempt.outcome))

    @admin.display(description="For")
    def who(self, attempt: FetchAttempt) -> str:
        return ", ".join(attempt.providers)

    @admin.display(description="Took", ordering="duration_ms")
    def took(self, attempt: FetchAttempt) -> str:
        return f"{attempt.duration_ms:.0f} ms"

    @admin.display(description="Late")
    def late(self, attempt: FetchAttempt) -> str:
        return f"{attempt.late_ms:.0f} ms"

    @admin.display(description="Size", ordering="size_bytes")
    def size(self, attempt: FetchAttempt) -> str:
        return f"{attempt.size_bytes / 1024:.1f} KiB"


@admin.register(StatusChange)
class StatusChangeAdmin(ReadOnlyAdmin):
    intro = "Every change of a status, with its cause and its actor."
    when_empty = "Changes come from polling (the first good fetch, errors) and from operators."
    list_display = ["changed", "provider_name", "sport", "was", "became", "cause", "actor"]
    list_filter = ["sport", "to_status"]
    ordering = ["-changed_at"]

    @admin.display(description="When", ordering="changed_at")
    def changed(self, change: StatusChange) -> SafeString | str:
        return ago(change.changed_at)

    @admin.display(description="From")
    def was(self, change: StatusChange) -> SafeString:
        return badge(Status(change.from_status))

    @admin.display(description="To")
    def became(self, change: StatusChange) -> SafeString:
        return badge(Status(change.to_status))
