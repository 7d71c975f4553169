"""Recovery runs: the three levels to begin, and each run step by step."""

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.safestring import SafeString

from core.console.badges import ago, badge
from core.console.confirm import typed, verb_page
from core.console.keyset import KeysetAdmin
from core.switches import Part
from core.text import duration
from rollout.choices import RunKind, RunOutcome
from rollout.models import LEVELS, RecoveryRun
from rollout.recovery import background, operations, reactivate
from rollout.recovery.admin import context
from rollout.recovery.rollback import levels
from rollout.recovery.runner import PROMISED
from rollout.status import switched_off

LIST = "admin:rollout_recoveryrun_changelist"


@admin.register(RecoveryRun)
class RecoveryRunAdmin(KeysetAdmin):
    intro = "The ways back, what each promises, and every time one was taken or rehearsed."
    when_empty = "None was needed yet. Rehearse one:"
    command = "python manage.py rollback --level standard --rehearse"
    list_before_template = "console/recovery_runs.html"
    change_form_outer_before_template = "console/recovery_run.html"
    list_display = ["when", "what", "result", "took", "promised", "kept", "actor", "reason"]
    list_filter = ["kind", "outcome", "is_rehearsal"]
    fields = ["kind", "actor", "reason", "pace", "snapshot", "is_rehearsal", "started_at", "ended_at", "worker"]

    def get_urls(self) -> list[URLPattern]:
        name = "rollout_recoveryrun_{}".format
        own = [self.page(f"begin/{level.value}/", self._beginning(level), name(level.value)) for level in LEVELS]
        own += [self.page(f"<int:pk>/{verb}/", self._acting(verb), name(verb)) for verb in VERBS]
        own.append(self.page("reactivate/", self.reactivate, name("reactivate")))
        own.append(self.page("<int:pk>/live/", self.live, name("live")))
        return own + super().get_urls()  # type: ignore[no-any-return]

    def of_list(self, request: HttpRequest) -> dict[str, Any]:
        more = {"levels": [self._level(request, card) for card in context.level_cards()], "banners": switched_off()}
        if more["banners"] and request.user.has_perm("rollout.reactivate_activation"):
            more["reactivate"] = [reverse("admin:rollout_recoveryrun_reactivate")]
        return more

    def _level(self, request: HttpRequest, card: dict[str, Any]) -> dict[str, Any]:
        may = request.user.has_perm(f"rollout.{card['level']}_recoveryrun")
        return card | {"may": may, "begin": reverse(f"admin:rollout_recoveryrun_{card['level']}")}

    def of_row(self, request: HttpRequest, row: RecoveryRun) -> dict[str, Any]:
        return self._shown(request, row)

    def reactivate(self, request: HttpRequest) -> HttpResponse:
        """All parts that are off."""
        off = switched_off()
        return verb_page(
            self,
            request,
            label="Reactivate",
            subject="all parts that are off",
            permission="rollout.reactivate_activation",
            plan=[*off, "They are switched on; rollouts stay where they are."],
            act=lambda filled: _switched_on(reactivate.reactivate([], actor=request.user, reason=filled["reason"])),
            back=reverse(LIST),
            idle="" if off else "Nothing is off",
        )

    def live(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that moves."""
        run = get_object_or_404(RecoveryRun, pk=pk)
        if not self.has_view_permission(request, run):
            raise PermissionDenied
        return TemplateResponse(request, "console/recovery_run_live.html", self._shown(request, run))

    def _shown(self, request: HttpRequest, run: RecoveryRun) -> dict[str, Any]:
        base = f"{reverse(LIST)}{run.pk}/"
        about = {"kind": badge(run.level), "result": badge(RunOutcome(run.outcome)), "took": context.took(run)}
        about |= {"kept": context.promise_kept(run), "promised": _promise(run)}
        verbs = [(f"{base}{verb}/", label, verb) for verb, label in context.verbs(run, request.user)]
        more = {"steps": context.timeline(run), "live": f"{base}live/", "is_open": run.ended_at is None}
        return {"run": run, "about": about, "verbs": verbs} | more

    def _beginning(self, level: RunKind) -> Callable[..., HttpResponse]:
        def ask(request: HttpRequest) -> HttpResponse:
            return verb_page(
                self,
                request,
                label="Roll back",
                subject=f"{level.label.lower()}, promised within {duration(PROMISED[level])}",
                permission=f"rollout.{level.value}_recoveryrun",
                plan=[_planned(each) for each in levels.plan(level)],
                act=lambda filled: self._begin(request, level, filled["reason"]),
                back=reverse(LIST),
                form=typed(level.value),
                takes_away=True,
            )

        return ask

    def _begin(self, request: HttpRequest, level: RunKind, reason: str) -> HttpResponse:
        return _carried_out(operations.roll_back(level, actor=request.user, reason=reason, is_for_workers=True))

    def _acting(self, verb: str) -> Callable[..., HttpResponse]:
        permission, plan, act = VERBS[verb]

        def ask(request: HttpRequest, pk: int) -> HttpResponse:
            run = get_object_or_404(RecoveryRun, pk=pk)
            return verb_page(
                self,
                request,
                label=verb.capitalize(),
                subject=str(run),
                permission=f"rollout.{permission}_recoveryrun",
                plan=[plan],
                act=lambda filled: act(run, request.user, filled["reason"]),
                back=f"{reverse(LIST)}{run.pk}/change/",
                form=typed(verb),
                takes_away=verb == "purge",
            )

        return ask

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
        return context.took(run) + (", rehearsed" if run.is_rehearsal else "")

    @admin.display(description="Promised")
    def promised(self, run: RecoveryRun) -> str:
        return _promise(run)

    @admin.display(description="Promise")
    def kept(self, run: RecoveryRun) -> SafeString | str:
        return context.promise_kept(run)


def _promise(run: RecoveryRun) -> str:
    return "–" if run.promised_seconds is None else duration(run.promised_seconds)


def _planned(each: levels.Planned) -> str:
    return f"{each.says[0].upper()}{each.says[1:]} ({context.usually(each.seconds)})"


def _switched_on(parts: Sequence[Part]) -> str:
    return f"Switched on: {', '.join(parts)}" if parts else "Nothing was off"


def _carried_out(run: RecoveryRun) -> HttpResponse:
    background.carry_out(run)
    return HttpResponseRedirect(f"{reverse(LIST)}{run.pk}/change/")


def _undo(run: RecoveryRun, user: Any, reason: str) -> HttpResponse:
    """Of that one, not of whichever is the last by now."""
    return _carried_out(operations.undo(run, actor=user, reason=reason, is_for_workers=True))


def _purge(run: RecoveryRun, user: Any, reason: str) -> HttpResponse:
    return _carried_out(operations.purge(run.pk, actor=user, reason=reason, is_for_workers=True))


def _pause(run: RecoveryRun, user: Any, reason: str) -> str:
    did = operations.pause(run, actor=user, reason=reason)
    return f"{run} stays where it is" if did else f"{run} does not run: it is {_now(run)}"


def _resume(run: RecoveryRun, user: Any, reason: str) -> str:
    did = operations.resume(run, actor=user, reason=reason)
    return f"{run} goes on" if did else f"{run} was not paused: it is {_now(run)}"


def _now(run: RecoveryRun) -> str:
    run.refresh_from_db()
    return RunOutcome(run.outcome).label.lower()


# Permission, what it does, and the operation.
VERBS: dict[str, tuple[str, str, Callable[[RecoveryRun, Any, str], object]]] = {
    "undo": (
        "restore",
        "Its data comes back. Rollouts stay disabled; parts stay off until reactivated.",
        _undo,
    ),
    "purge": ("purge", "What is in quarantine is dropped for good, once its snapshot was read back.", _purge),
    "pause": ("gradual", "It stays where it is; the guards go on watching.", _pause),
    "resume": ("gradual", "Its hold goes on where it stood.", _resume),
}
