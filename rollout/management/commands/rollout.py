"""The command `manage.py rollout`: the status and the history of a rollout, and its verbs."""

import sys
import time
from typing import Any

from django.core.management.base import CommandParser
from django.db import DatabaseError

from core.commands import SlipwayCommand
from core.errors import WrongInput, first_line
from core.redaction import redact
from rollout.choices import RunState, Stage
from rollout.control.dispatch import apply_verb
from rollout.decisions.stages import DEFAULT_ROLLOUT, ORDER
from rollout.decisions.wording import format_limit, format_value
from rollout.models import Rollout, Transition
from rollout.operations import lifecycle, policies
from rollout.status import Status, find_rollout, read_status

FOR_ALL = ("freeze", "unfreeze")
FOR_ONE = ("start", "advance", "approve", "pause", "resume", "abort", "archive", "unarchive", "clone")
VERBS = ["status", *FOR_ONE, *FOR_ALL, "history"]
OPTION_VERBS = {
    "to": "advance",
    "pace": "start",
    "watch": "status",
    "to_name": "clone",
}  # the verb that takes each option
WATCH_SECONDS = 2.0
GUARD_LINE = "{:<14} {:>9} {:>9} {:>15} {:>8}  {}"
TRANSITION_LINE = "{:%Y-%m-%d %H:%M:%S}  {:>5}  {:<8} {:<33} {:<14} {}"
CLEAR_SCREEN = "\x1b[H\x1b[J"
TRANSITION_FIELDS = ("epoch", "verb", "percent", "run_state", "pace", "actor", "reason", "evidence")


class Command(SlipwayCommand):
    help = (
        "Show a rollout, or carry out a verb on it. Examples: manage.py rollout status --watch; "
        "manage.py rollout start derived-data --pace 0.05; manage.py rollout abort --reason 'wrong odds'"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("verb", choices=VERBS)
        parser.add_argument("name", nargs="?", default="", help=f"the rollout's name; default: {DEFAULT_ROLLOUT}")
        parser.add_argument("--to", choices=[stage.value for stage in Stage], help="the stage to advance to")
        parser.add_argument("--to-name", help="the name of the clone")
        parser.add_argument("--pace", type=float, help="0.05 shortens ten minutes to half a minute, for a trial")
        parser.add_argument("--reason", default="", help="the reason, for the history")
        parser.add_argument("--watch", action="store_true", help="show the status repeatedly, until Ctrl-C")

    def handle(self, *args: Any, verb: str, name: str, reason: str, **options: Any) -> None:
        for option, option_verb in OPTION_VERBS.items():
            if options[option] and verb != option_verb:
                flag = f"--{option.replace('_', '-')}"
                raise WrongInput(f"cannot use {flag} with {verb}", f"it is an option of {option_verb}")
        if verb in FOR_ALL:
            if name:
                raise WrongInput(
                    f"cannot {verb} one rollout: {verb} applies to all rollouts",
                    f"leave {name} out, or run: manage.py rollout pause {name}",
                )
            self._switch(verb, reason)
        elif verb == "status" and options["watch"]:
            self._watch(name or DEFAULT_ROLLOUT)
        else:
            self._handle_one(verb, find_rollout(name or DEFAULT_ROLLOUT), reason, options)

    def _handle_one(self, verb: str, rollout: Rollout, reason: str, options: dict[str, Any]) -> None:
        if verb == "history":
            self._history(rollout)
        elif verb == "clone":
            self._clone(rollout, options["to_name"], reason)
        elif verb == "status":
            status = read_status(rollout)
            self.report(status.as_json(), status_text(status))
        else:
            self._act(verb, rollout, reason, options["to"], options["pace"])

    def _act(self, verb: str, rollout: Rollout, reason: str, to: str | None, pace: float | None) -> None:
        _require_next(rollout, to)
        pace = 1.0 if pace is None else pace
        transition = apply_verb(verb, rollout, actor=self.actor, reason=reason, pace=pace)
        state = RunState(transition.run_state).label
        text = f"{rollout.name}: {_describe_move(transition)}, {state}, epoch {transition.epoch}"
        self.report(transition_json(transition), text)

    def _clone(self, source: Rollout, name: str | None, reason: str) -> None:
        if not name:
            raise WrongInput(f"cannot clone {source.name}: the clone has no name", "name it with --to-name NEW")
        clone = policies.clone_rollout(source, name, actor=self.actor, reason=reason)
        self.report(transition_json(clone.transitions.get()), f"{clone.name}: disabled, a clone of {source.name}")

    def _switch(self, verb: str, reason: str) -> None:
        is_frozen = verb == "freeze"
        operation = lifecycle.freeze if is_frozen else lifecycle.unfreeze
        has_changed = operation(actor=self.actor, reason=reason)
        state = "frozen; guards still take rollouts back" if is_frozen else "on"
        text = f"automatic advances are {state}" if has_changed else f"automatic advances were already {state}"
        self.report({"changed": has_changed, "frozen": is_frozen}, text)

    def _history(self, rollout: Rollout) -> None:
        transitions = list(rollout.transitions.all())
        document = {"name": rollout.name, "history": [transition_json(transition) for transition in transitions]}
        text = "\n".join(map(_transition_line, transitions)) or f"{rollout.name} has no transitions yet"
        self.report(document, text)

    def _watch(self, name: str) -> None:
        """Show the status repeatedly: in a terminal in place, elsewhere once more with each change."""
        try:
            last_summary: object = None
            while True:
                try:
                    status = read_status(find_rollout(name))
                except DatabaseError as error:  # an outage is when an operator needs to continue to watch
                    self.stderr.write(f"the database does not answer: {redact(first_line(error, 'no answer'))}")
                else:
                    last_summary = self._show(status, last_summary)
                time.sleep(WATCH_SECONDS)
        except KeyboardInterrupt:
            return

    def _show(self, status: Status, last_summary: object) -> object:
        """Print the status. Return what was printed last, in short.

        last_summary: what the last call returned. In a pipe the status is printed only if it differs from that.
        """
        summary = _summary(status)
        if self.as_json:
            self.report(status.as_json(), "")
        elif sys.stdout.isatty():
            self.stdout.write(CLEAR_SCREEN + status_text(status))
        elif summary != last_summary:
            self.stdout.write(f"{status_text(status)}\n")
        self.stdout.flush()
        return summary


def _require_next(rollout: Rollout, to: str | None) -> None:
    """Raise WrongInput if a stage is given that does not follow the present one."""
    next_stages = ORDER[ORDER.index(Stage(rollout.stage)) + 1 :][:1]
    if to and [Stage(to)] != next_stages:
        remedy = f"use --to {next_stages[0].value}" if next_stages else "no stage follows"
        raise WrongInput(f"cannot advance {rollout.name} from {rollout.stage} to {to}: no stage is skipped", remedy)


def _summary(status: Status) -> object:
    """Return what makes a status worth printing again."""
    verdicts = [(judgment.name, judgment.verdict) for judgment in status.judgments]
    return status.rollout.epoch, verdicts, status.feeds, status.is_frozen


def status_text(status: Status) -> str:
    """Return the status as an operator reads it in a terminal."""
    rollout, stage, feeds = status.rollout, Stage(status.rollout.stage), status.feeds
    head = [
        f"{rollout.name}  {stage.symbol} {stage.value}",
        RunState(rollout.run_state).label.lower(),
        f"{rollout.served_percent} %",
        f"epoch {rollout.epoch}",
    ]
    if rollout.pace != 1:
        head.append(f"pace {rollout.pace:g}")
    left = "" if status.seconds_left is None else f", {status.seconds_left:.0f} s left"
    lines = ["  ".join(head), f"in this stage for {status.seconds_in_stage:.0f} s{left}", f"next: {status.next}"]
    if status.holds:
        lines.append(f"holds: {status.holds}")
    if status.is_frozen:
        lines.append("automatic advances are frozen; guards still take rollouts back")
    if status.judgments:
        lines += ["", GUARD_LINE.format("guard", "value", "control", "limit", "samples", "verdict")]
    for judgment in status.judgments:
        value, control = (format_value(judgment.guard, each) for each in (judgment.value, judgment.control))
        figures = value, control, format_limit(judgment), judgment.samples, judgment.verdict.value
        lines.append(GUARD_LINE.format(judgment.name, *figures) + (f": {judgment.note}" if judgment.note else ""))
    states = f"{feeds.healthy} healthy, {feeds.failing} failing, {feeds.inactive} inactive"
    if feeds.broken:
        states += f"; not measurable: {', '.join(feeds.broken)}"
    return "\n".join([*lines, "", f"providers watched: {feeds.watched}: {states}"])


def _transition_line(transition: Transition) -> str:
    return TRANSITION_LINE.format(
        transition.at,
        transition.epoch,
        transition.verb,
        _describe_move(transition),
        transition.actor[:14],
        transition.reason,
    ).rstrip()


def _describe_move(transition: Transition) -> str:
    """Return the stages of a transition, as `DARK_MODE → SHADOW_MODE`."""
    share = f" {transition.percent} %" if transition.to_stage == Stage.PARTIAL_ACTIVE else ""
    if transition.from_stage == transition.to_stage:
        return transition.to_stage + share
    return f"{transition.from_stage} → {transition.to_stage}{share}"


def transition_json(transition: Transition) -> dict[str, Any]:
    """Return a transition as the JSON documents of this command have it."""
    stages = {"from": transition.from_stage, "to": transition.to_stage, "at": transition.at.isoformat()}
    return {name: getattr(transition, name) for name in TRANSITION_FIELDS} | stages
