"""manage.py rollout"""

import sys
import time
from typing import Any

from django.core.management.base import CommandParser
from django.db import DatabaseError

from core.commands import SlipwayCommand
from core.errors import WrongInput, first_line
from core.redaction import redact
from rollout.choices import RunState, Stage
from rollout.control.dispatch import act
from rollout.decisions.stages import ORDER, ROLLED_OUT
from rollout.models import Rollout, Transition
from rollout.operations import lifecycle
from rollout.status import Status, named, shown_limit, shown_value, status

VERBS = ["status", "start", "advance", "approve", "pause", "resume", "abort", "freeze", "unfreeze", "history"]
ONLY = {"to": "advance", "pace": "start", "watch": "status"}
WATCH_SECONDS = 2.0
GUARD = "{:<14} {:>9} {:>11} {:>8}  {}"
MOVE = "{:%Y-%m-%d %H:%M:%S}  {:>5}  {:<8} {:<33} {:<14} {}"
CLEAR = "\x1b[H\x1b[J"


class Command(SlipwayCommand):
    help = (
        "See a rollout, and act on it. Examples: manage.py rollout status --watch; "
        "manage.py rollout start derived-data --pace 0.05; manage.py rollout abort --reason 'wrong odds'"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("verb", choices=VERBS)
        parser.add_argument("name", nargs="?", default="", help=f"of the rollout; {ROLLED_OUT} if left out")
        parser.add_argument("--to", choices=[stage.value for stage in Stage], help="the stage to advance to")
        parser.add_argument("--pace", type=float, help="0.05 makes ten minutes half a minute, for a trial")
        parser.add_argument("--reason", default="", help="why, for the history")
        parser.add_argument("--watch", action="store_true", help="show it again and again, until Ctrl-C")

    def handle(self, *args: Any, verb: str, name: str, reason: str, **options: Any) -> None:
        for option, its_verb in ONLY.items():
            if options[option] and verb != its_verb:
                raise WrongInput(f"--{option} says nothing to {verb}", f"it belongs to {its_verb}")
        if verb in ("freeze", "unfreeze"):
            if name:
                raise WrongInput(f"{verb} is for all rollouts", f"leave {name} out, or pause it alone")
            self._freeze(verb, reason)
            return
        name = name or ROLLED_OUT
        if verb == "history":
            self._history(named(name))
        elif verb == "status" and options["watch"]:
            self._watch(name)
        elif verb == "status":
            seen = status(named(name))
            self.report(seen.document(), shown(seen))
        else:
            self._act(verb, named(name), reason, options)

    def _act(self, verb: str, rollout: Rollout, reason: str, options: dict[str, Any]) -> None:
        _require_next(rollout, options["to"])
        pace = 1.0 if options["pace"] is None else options["pace"]
        moved = act(verb, rollout, actor=self.actor, reason=reason, pace=pace)
        self.report(
            document(moved), f"{rollout.name}: {_moved(moved)}, {RunState(moved.run_state).label}, epoch {moved.epoch}"
        )

    def _freeze(self, verb: str, reason: str) -> None:
        act = lifecycle.freeze if verb == "freeze" else lifecycle.unfreeze
        changed = act(actor=self.actor, reason=reason)
        now = "frozen; rollbacks are not" if verb == "freeze" else "on"
        self.report(
            {"changed": changed, "frozen": verb == "freeze"},
            f"automatic advances are {now}{'' if changed else ', as they were'}",
        )

    def _history(self, rollout: Rollout) -> None:
        moves = list(rollout.transitions.all())
        lines = [
            MOVE.format(move.at, move.epoch, move.verb, _moved(move), move.actor[:14], move.reason).rstrip()
            for move in moves
        ]
        text = "\n".join(lines) or f"{rollout.name} was never moved"
        self.report({"name": rollout.name, "history": [document(move) for move in moves]}, text)

    def _watch(self, name: str) -> None:
        """In a terminal in place; elsewhere once more with each change."""
        before: object = None
        try:
            while True:
                try:
                    seen = status(named(name))
                except DatabaseError as error:  # just then somebody wants to go on watching
                    self.stderr.write(f"the database does not answer: {redact(first_line(error, 'no answer'))}")
                    time.sleep(WATCH_SECONDS)
                    continue
                if self.as_json:
                    self.report(seen.document(), "")
                elif sys.stdout.isatty():
                    self.stdout.write(CLEAR + shown(seen))
                elif before != (now := _gist(seen)):
                    self.stdout.write(f"{shown(seen)}\n")
                    before = now
                self.stdout.flush()
                time.sleep(WATCH_SECONDS)
        except KeyboardInterrupt:
            return


def _require_next(rollout: Rollout, to: str | None) -> None:
    """Raises WrongInput for a stage that does not follow."""
    following = ORDER[ORDER.index(Stage(rollout.stage)) + 1 :][:1]
    if to and [Stage(to)] != following:
        only = f"only {following[0].value} does" if following else "nothing does"
        raise WrongInput(f"{to} does not follow {rollout.stage}", f"{only}: no stage is skipped")


def _gist(seen: Status) -> object:
    rollout = seen.rollout
    return rollout.epoch, [(one.guard, one.verdict) for one in seen.judged], seen.feeds, seen.is_frozen


def shown(seen: Status) -> str:
    rollout, stage, feeds = seen.rollout, Stage(seen.rollout.stage), seen.feeds
    head = [f"{rollout.name}  {stage.symbol} {stage.value}", RunState(rollout.run_state).label.lower()]
    head += [f"{rollout.percent} %", f"epoch {rollout.epoch}"] + ([f"pace {rollout.pace:g}"] * (rollout.pace != 1))
    time_left = "" if seen.seconds_left is None else f", {seen.seconds_left:.0f} s left"
    lines = ["  ".join(head), f"in this stage for {seen.seconds_in_stage:.0f} s{time_left}", f"next: {seen.next}"]
    if seen.is_frozen:
        lines.append("automatic advances are frozen; rollbacks are not")
    if seen.judged:
        lines += ["", GUARD.format("guard", "value", "limit", "samples", "verdict")]
        lines += [
            GUARD.format(
                one.guard.value, shown_value(one.guard, one.value), shown_limit(one), one.samples, one.verdict.value
            )
            for one in seen.judged
        ]
    told = f"{feeds.healthy} healthy, {feeds.failing} failing, {feeds.inactive} inactive"
    return "\n".join([*lines, "", f"providers watched: {feeds.watched}: {told}"])


def _moved(move: Transition) -> str:
    share = f" {move.percent} %" if move.to_stage == Stage.PARTIAL_ACTIVE else ""
    return f"{move.from_stage} → {move.to_stage}{share}" if move.from_stage != move.to_stage else move.to_stage + share


def document(move: Transition) -> dict[str, Any]:
    told = ("epoch", "verb", "percent", "run_state", "pace", "actor", "reason", "evidence")
    stages = {"from": move.from_stage, "to": move.to_stage, "at": move.at.isoformat()}
    return {name: getattr(move, name) for name in told} | stages
