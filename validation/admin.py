"""Validation in the admin: the board of the newest results, the history of each check, and each run."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, reverse
from django.utils.safestring import SafeString

from core.console.badges import ago, badge
from core.console.confirm import verb_page
from core.console.keyset import KeysetAdmin
from core.health_checks import Result, Suite, checks
from validation.board import board_context, result_context
from validation.models import ValidationRun
from validation.operations import Report, validate

PERMISSION = "validation.run_validationrun"


@admin.register(ValidationRun)
class ValidationRunAdmin(KeysetAdmin):
    intro = "Whether the system is as it should be. A run takes place every 15 minutes, and on request."
    when_empty = "No run took place yet. Start one with the button above, or run:"
    command = "python manage.py validate"
    list_before_template = "console/validation.html"
    change_form_outer_before_template = "console/validation_run.html"
    list_display = ["when", "suite", "verdict", "passed_of", "took", "requested_by"]
    list_filter = ["suite", "overall", "is_full"]
    list_per_page = 25
    fields = ["suite", "category", "is_full", "seconds", "requested_by", "started_at"]

    def get_urls(self) -> list[URLPattern]:
        pages = [self.page(f"run/{suite.value}/", self.run, f"validate_{suite.name}", suite=suite) for suite in Suite]
        return pages + super().get_urls()  # type: ignore[no-any-return]

    def list_context(self, request: HttpRequest) -> dict[str, Any]:
        suites = (Suite.EXIT, Suite.EXTENDED)
        return {"boards": [board_context(suite, _run_address(suite)) for suite in suites]}

    def row_context(self, request: HttpRequest, row: ValidationRun) -> dict[str, Any]:
        return {"results": [result_context(result) for result in row.results.order_by("pk")]}

    def run(self, request: HttpRequest, suite: Suite) -> HttpResponse:
        """Show the confirmation page of a run, and on confirmation run the suite."""
        return verb_page(
            self,
            request,
            label="Validate",
            subject=f"{suite.label.lower()} now",
            permission=PERMISSION,
            plan=[
                f"{len(checks(suite))} checks look at the database, the site and the caches. They change nothing.",
                "The run takes seconds.",
            ],
            operation=lambda values: _describe_report(validate(suite, actor=request.user)),
            form=forms.Form,
            return_url=reverse("admin:validation_validationrun_changelist"),
        )

    @admin.display(description="When")
    def when(self, run: ValidationRun) -> SafeString | str:
        return ago(run.started_at)

    @admin.display(description="Verdict")
    def verdict(self, run: ValidationRun) -> SafeString:
        return badge(Result(run.overall))

    @admin.display(description="Passed")
    def passed_of(self, run: ValidationRun) -> str:
        scope = f", only {run.category}" if run.category else ""
        return f"{run.passed} of {run.total}{scope}"

    @admin.display(description="Took")
    def took(self, run: ValidationRun) -> str:
        return f"{run.seconds:.2f} s"


def _describe_report(report: Report) -> str:
    passed = sum(outcome.finding.result is Result.PASS for outcome in report.outcomes)
    note = "" if report.stored_as else "; this run could not be stored"
    return f"{report.suite.label}: {report.overall.value}, {passed} of {len(report.outcomes)} passed{note}"


def _run_address(suite: Suite) -> str:
    return reverse(f"admin:validate_{suite.name}")
