"""Validation in the admin: the last run as a board, each check's history, and runs one by one."""

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
from validation.board import board, shown_result
from validation.models import ValidationRun
from validation.operations import Report, validate

PERMISSION = "validation.run_validationrun"


@admin.register(ValidationRun)
class ValidationRunAdmin(KeysetAdmin):
    intro = "Whether everything is as it should be: looked at every quarter of an hour, and whenever somebody asks."
    when_empty = "Nothing was looked at yet. Run it with the button above, or:"
    command = "python manage.py validate"
    list_before_template = "console/validation.html"
    change_form_outer_before_template = "console/validation_run.html"
    list_display = ["when", "suite", "verdict", "passed_of", "took", "requested_by"]
    list_filter = ["suite", "overall", "is_full"]
    list_per_page = 25
    fields = ["suite", "category", "is_full", "seconds", "requested_by", "started_at"]

    def get_urls(self) -> list[URLPattern]:
        own = [self.page(f"run/{suite.value}/", self.run, f"validate_{suite.name}", suite=suite) for suite in Suite]
        return own + super().get_urls()  # type: ignore[no-any-return]

    def of_list(self, request: HttpRequest) -> dict[str, Any]:
        boards = [board(suite) for suite in (Suite.EXIT, Suite.EXTENDED)]
        return {"boards": [each | {"run": _address(each["suite"])} for each in boards]}

    def of_row(self, request: HttpRequest, row: ValidationRun) -> dict[str, Any]:
        return {"results": [shown_result(found) for found in row.results.order_by("pk")]}

    def run(self, request: HttpRequest, suite: Suite) -> HttpResponse:
        many = len(checks(suite))
        return verb_page(
            self,
            request,
            label="Validate",
            subject=f"{suite.label.lower()} now",
            permission=PERMISSION,
            plan=[
                f"{many} checks look at the database, the site and the caches; nothing is changed.",
                "It takes seconds.",
            ],
            act=lambda filled: _said(validate(suite, actor=request.user)),
            form=forms.Form,
            back=reverse("admin:validation_validationrun_changelist"),
        )

    @admin.display(description="When")
    def when(self, run: ValidationRun) -> SafeString | str:
        return ago(run.started_at)

    @admin.display(description="Verdict")
    def verdict(self, run: ValidationRun) -> SafeString:
        return badge(Result(run.overall))

    @admin.display(description="Passed")
    def passed_of(self, run: ValidationRun) -> str:
        return f"{run.passed} of {run.total}{f', {run.category} only' if run.category else ''}"

    @admin.display(description="Took")
    def took(self, run: ValidationRun) -> str:
        return f"{run.seconds:.2f} s"


def _said(report: Report) -> str:
    passed = sum(outcome.finding.result is Result.PASS for outcome in report.outcomes)
    kept = "" if report.stored_as else "; this run could not be stored"
    return f"{report.suite.label}: {report.overall.value}, {passed} of {len(report.outcomes)} passed{kept}"


def _address(suite: Suite) -> str:
    return reverse(f"admin:validate_{suite.name}")
