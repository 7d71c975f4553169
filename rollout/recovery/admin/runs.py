"""The admin of recovery runs: the three levels that can be begun, and each run step by step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.safestring import SafeString

from core.console.badges import ago, badge
from core.console.confirm import confirmation_form, verb_page
from core.console.keyset import KeysetAdmin
from core.switches import Part
from core.text import duration
from rollout.choices import RunKind, RunOutcome
from rollout.models import LEVELS, RecoveryRun
from rollout.recovery import background, operations, reactivate
from rollout.recovery.admin import context
from rollout.recovery.rollback.plan import PlannedStep, describe_estimate, plan_level
from rollout.recovery.runner import PROMISED
from rollout.status import switched_off_banners

LIST = "admin:rollout_recoveryrun_changelist"


@admin.register(RecoveryRun)
class RecoveryRunAdmin(KeysetAdmin):
    intro = "The ways back, the time that each promises, and every run and rehearsal so far."
    when_empty = "There is no run yet. Rehearse a level:"
    command = "python manage.py rollback --level standard --rehearse"
    list_before_template = "console/recovery_runs.html"
    change_form_outer_before_template = "console/recovery_run.html"
    list_display = ["when", "what", "result", "took", "promised", "kept", "actor", "reason"]
    list_filter = ["kind", "outcome", "is_rehearsal"]
    fields = ["kind", "actor", "reason", "pace", "snapshot", "is_rehearsal", "started_at", "ended_at", "worker"]

    def get_urls(self) -> list[URLPattern]:
        name = "rollout_recoveryrun_{}".format
        urls = [self.page(f"begin/{level.value}/", self._begin_page(level), name(level.value)) for level in LEVELS]
        urls += [self.page(f"<int:pk>/{verb}/", self._verb_page(verb), name(verb)) for verb in VERBS]
        urls.append(self.page("reactivate/", self.reactivate, name("reactivate")))
        urls.append(self.page("<int:pk>/live/", self.live, name("live")))
        return urls + super().get_urls()  # type: ignore[no-any-return]

    def list_context(self, request: HttpRequest) -> dict[str, Any]:
        banners = switched_off_banners()
        may_reactivate = banners and request.user.has_perm("rollout.reactivate_activation")
        return {
            "levels": context.level_cards(request.user),
            "banners": banners,
            "reactivate": [reverse("admin:rollout_recoveryrun_reactivate")] if may_reactivate else [],
        }

    def row_context(self, request: HttpRequest, row: RecoveryRun) -> dict[str, Any]:
        return self._run_context(request, row)

    def reactivate(self, request: HttpRequest) -> HttpResponse:
        """Ask for a confirmation, and switch on all parts that are off."""
        off = switched_off_banners()

        def switch_on(filled: dict[str, Any]) -> str:
            return _describe_switched_on(reactivate.reactivate([], actor=request.user, reason=filled["reason"]))

        return verb_page(
            self,
            request,
            label="Reactivate",
            subject="all parts that are off",
            permission="rollout.reactivate_activation",
            plan=[*off, "These parts are switched on. Every rollout stays in its stage."],
            operation=switch_on,
            return_url=reverse(LIST),
            nothing_to_do="" if off else "No part is off",
        )

    def live(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return the part of the page that changes while the run is executed."""
        run = get_object_or_404(RecoveryRun, pk=pk)
        if not self.has_view_permission(request, run):
            raise PermissionDenied
        return TemplateResponse(request, "console/recovery_run_live.html", self._run_context(request, run))

    def _run_context(self, request: HttpRequest, run: RecoveryRun) -> dict[str, Any]:
        base = f"{reverse(LIST)}{run.pk}/"
        return {
            "run": run,
            "about": {
                "kind": badge(run.level),
                "result": badge(RunOutcome(run.outcome)),
                "took": context.describe_duration(run),
                "promised": context.describe_promise(run),
                "kept": context.promise_badge(run),
            },
            "verbs": [(f"{base}{verb}/", label, verb) for verb, label in context.allowed_verbs(run, request.user)],
            "steps": context.steps_context(run),
            "live": f"{base}live/",
            "is_open": run.ended_at is None,
        }

    def _begin_page(self, level: RunKind) -> Callable[..., HttpResponse]:
        def confirm(request: HttpRequest) -> HttpResponse:
            def begin(filled: dict[str, Any]) -> HttpResponse:
                return _execute_and_show(
                    operations.roll_back(level, actor=request.user, reason=filled["reason"], is_for_workers=True)
                )

            return verb_page(
                self,
                request,
                label="Roll back",
                subject=f"{level.label.lower()}, promised within {duration(PROMISED[level])}",
                permission=f"rollout.{level.value}_recoveryrun",
                plan=[_describe_step(step) for step in plan_level(level)],
                operation=begin,
                return_url=reverse(LIST),
                form=confirmation_form(level.value),
                is_destructive=True,
            )

        return confirm

    def _verb_page(self, name: str) -> Callable[..., HttpResponse]:
        verb = VERBS[name]

        def confirm(request: HttpRequest, pk: int) -> HttpResponse:
            run = get_object_or_404(RecoveryRun, pk=pk)
            return verb_page(
                self,
                request,
                label=name.capitalize(),
                subject=str(run),
                permission=verb.permission,
                plan=[verb.effect],
                operation=lambda filled: verb.operation(run, request.user, filled["reason"]),
                return_url=f"{reverse(LIST)}{run.pk}/change/",
                form=confirmation_form(name),
                is_destructive=name == "purge",
            )

        return confirm

    @admin.display(description="When")
    def when(self, run: RecoveryRun) -> SafeString | str:
        return ago(run.started_at)

    @admin.display(description="What")
    def what(self, run: RecoveryRun) -> SafeString | str:
        return badge(run.level)

    @admin.display(description="Outcome")
    def result(self, run: RecoveryRun) -> SafeString:
        return badge(RunOutcome(run.outcome))

    @admin.display(description="Took")
    def took(self, run: RecoveryRun) -> str:
        return context.describe_duration(run) + (", rehearsed" if run.is_rehearsal else "")

    @admin.display(description="Promised")
    def promised(self, run: RecoveryRun) -> str:
        return context.describe_promise(run)

    @admin.display(description="Promise")
    def kept(self, run: RecoveryRun) -> SafeString | str:
        return context.promise_badge(run)


def _describe_step(step: PlannedStep) -> str:
    return f"{step.summary} ({describe_estimate(step.seconds)})"


def _describe_switched_on(parts: Sequence[Part]) -> str:
    return f"Switched on: {', '.join(parts)}" if parts else "No part was off"


def _execute_and_show(run: RecoveryRun) -> HttpResponse:
    """Execute the run in the background, and go to its page."""
    background.execute_in_background(run)
    return HttpResponseRedirect(f"{reverse(LIST)}{run.pk}/change/")


def _undo(run: RecoveryRun, user: Any, reason: str) -> HttpResponse:
    """Undo this run. It is refused if another rollback is the last one by now."""
    return _execute_and_show(operations.undo(run, actor=user, reason=reason, is_for_workers=True))


def _purge(run: RecoveryRun, user: Any, reason: str) -> HttpResponse:
    return _execute_and_show(operations.purge(run.pk, actor=user, reason=reason, is_for_workers=True))


def _pause(run: RecoveryRun, user: Any, reason: str) -> str:
    if operations.pause_run(run, actor=user, reason=reason):
        return f"{run} holds where it is"
    return f"{run} was not running: it is {_present_outcome(run)}"


def _resume(run: RecoveryRun, user: Any, reason: str) -> str:
    if operations.resume_run(run, actor=user, reason=reason):
        return f"{run} continues"
    return f"{run} was not paused: it is {_present_outcome(run)}"


def _present_outcome(run: RecoveryRun) -> str:
    run.refresh_from_db()
    return RunOutcome(run.outcome).label.lower()


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb that a user can apply to a run: the permission that it needs, its effect, and the operation."""

    permission: str
    effect: str
    operation: Callable[[RecoveryRun, Any, str], object]


VERBS = {
    "undo": Verb(
        "rollout.restore_recoveryrun",
        "The data of this rollback comes back. Rollouts stay disabled, and parts stay off until they are reactivated.",
        _undo,
    ),
    "purge": Verb(
        "rollout.purge_recoveryrun",
        "The snapshot of the quarantine is read back, and then the tables in quarantine are dropped permanently.",
        _purge,
    ),
    "pause": Verb(
        "rollout.gradual_recoveryrun", "The rollouts stay where they are; the guards continue to watch.", _pause
    ),
    "resume": Verb("rollout.gradual_recoveryrun", "The rest of the present hold runs.", _resume),
}
