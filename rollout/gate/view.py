"""Rollouts as this process knows them: an immutable view that a thread renews. Asking it takes no lock and no I/O.

It is renewed every second, and at once when a rollout moved or tripped anywhere. While the control loop is blind,
control is served: without a tick for 30 s, or without PostgreSQL or Redis for as long; until then the last view
holds. Control is served too while serving is switched off.
"""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import redis
import structlog
from django.db import Error, connection, transaction

from core.redis import key, listening_client
from rollout import sql
from rollout.choices import Stage
from rollout.decisions.stages import Serves, serves
from rollout.gate import counters, heartbeat
from rollout.gate.counters import Mark, Visit

BLIND_SECONDS = 30.0
CHECK_SECONDS = 1.0
log = structlog.get_logger("slipway.gate")


@dataclass(frozen=True, slots=True)
class View:
    stage: Stage
    serves: Serves
    visit: Visit
    settled_epoch: int = 0
    is_serving: bool = True
    has_tripped: bool = False
    is_blind: bool = False  # nobody can judge it, or tell lately


NOWHERE = View(Stage.DISABLED, Serves(), Visit(0, 0))


class Views:
    """`check` renews them once; `start` has a thread do so from now on."""

    def __init__(self) -> None:
        self._views: Mapping[str, View] = {}
        self._is_stopped, self._is_known, self._has_redis = False, False, True
        self._looked = threading.Event()
        self._pulse = heartbeat.Pulse()
        self._until = 0.0  # by time.monotonic(); past that they are too old to be acted on

    def get(self, rollout: str) -> View | None:
        """None where control is to be served, whatever the stage: it is not known, or not known lately."""
        view = self._views.get(rollout)
        return view if view and not view.is_blind and time.monotonic() < self._until else None

    def blind(self, rollout: str) -> View:
        """As it was last known, serving control."""
        return replace(self._views.get(rollout, NOWHERE), serves=Serves(), is_blind=True)

    def names(self) -> list[str]:
        """Of the rollouts that are known."""
        return sorted(self._views)

    def visit_of(self, rollout: str) -> Visit | None:
        """Even when it is old: what was counted is counted."""
        view = self._views.get(rollout)
        return view.visit if view else None

    def check(self) -> None:
        views = dict(self._views)
        with suppress(redis.RedisError):  # first, since PostgreSQL may take a while to answer
            self._views = views = _marked(views)
        try:
            views, is_known = _load(), True
        except Error as error:
            is_known = False
            if self._is_known:  # said once, not every second
                log.warning("rollouts cannot be read; the last view holds for a while", error=str(error))
        self._is_known = is_known
        try:
            views = _marked(views)
            self._has_redis = True
            if not self._pulse.look():
                self._until = 0.0
            elif is_known:
                self._until = time.monotonic() + BLIND_SECONDS
        except redis.RedisError as error:
            if self._has_redis:
                log.warning("Redis does not answer; the last view holds for a while", error=type(error).__name__)
            self._has_redis = False
            # A trip that is known stays known.
            views = {name: _as_before(view, self._views.get(name)) for name, view in views.items()}
        self._views = views

    def _check(self) -> None:
        connection.close_if_unusable_or_obsolete()
        self.check()
        self._looked.set()

    def start(self) -> threading.Event:
        """Returns what is set once they were looked at."""
        self._thread = threading.Thread(target=self._run, name="slipway-gate", daemon=True)
        self._thread.start()
        return self._looked

    def stop(self) -> None:
        """Returns when the thread has ended."""
        self._is_stopped = True
        self._thread.join()

    def _run(self) -> None:
        while not self._is_stopped:
            try:
                self._check()
                with listening_client() as line, line.pubsub() as heard:
                    heard.subscribe(key("rollouts"))
                    while not self._is_stopped:
                        self._check()
                        heard.get_message(timeout=CHECK_SECONDS)
            except (redis.RedisError, OSError):
                time.sleep(CHECK_SECONDS)
            except Exception:  # whatever it is: the next check is a second away, and blind gates serve control
                log.exception("the view of the rollouts could not be renewed")
                time.sleep(CHECK_SECONDS)
        connection.close()


def _load() -> dict[str, View]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.SOON)
        cursor.execute(sql.VIEWS)
        return {
            name: View(
                Stage(stage),
                serves(Stage(stage), percent) if is_serving else Serves(),
                Visit(
                    epoch,
                    first_epoch,
                    None if at_most is None else int(at_most),
                    None if window_minutes is None else window_minutes * 60,
                ),
                settled,
                is_serving,
            )
            for name, stage, percent, epoch, first_epoch, settled, at_most, window_minutes, is_serving in cursor
        }


def _marked(views: Mapping[str, View]) -> dict[str, View]:
    """Raises redis.RedisError."""
    marks = counters.marks({name: view.settled_epoch for name, view in views.items()})
    return {name: _with(view, marks[name]) for name, view in views.items()}


def _with(view: View, mark: Mark) -> View:
    if view.stage is Stage.DISABLED:
        return view
    if not mark.fell:
        return replace(view, is_blind=mark.is_blind)
    return replace(view, serves=Serves(), has_tripped=True, is_blind=mark.is_blind)


def _as_before(view: View, before: View | None) -> View:
    if before and before.has_tripped and view.settled_epoch == before.settled_epoch:
        return replace(view, serves=Serves(), has_tripped=True)
    return view
