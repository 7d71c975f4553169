"""Rollouts as this process knows them: an immutable view that a thread renews. Asking it takes no lock and no I/O.

It is renewed every second, and at once when a rollout moved or tripped anywhere. While the control loop is blind,
control is served: without a tick for 30 s, or without PostgreSQL or Redis for as long; until then the last view
holds. Control is served too while serving is switched off.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import redis
import structlog
from django.db import Error, connection

from rollout import heartbeat, metrics, sql
from rollout.choices import Stage
from rollout.metrics import Mark, Visit
from rollout.redis import key, listening_client
from rollout.stages import Serves, serves

BLIND_SECONDS = 30.0
CHECK_SECONDS = 1.0
log = structlog.get_logger("slipway.gate")


@dataclass(frozen=True, slots=True)
class View:
    stage: Stage
    serves: Serves
    visit: Visit
    is_serving: bool = True
    has_tripped: bool = False


NOWHERE = View(Stage.DISABLED, Serves(), Visit(0, 0))


class Views:
    """`check` renews them once; `start` has a thread do so from now on."""

    def __init__(self) -> None:
        self._views: Mapping[str, View] = {}
        self._is_stopped, self._is_known = False, False
        self._looked = threading.Event()
        self._pulse = heartbeat.Pulse()
        self._until = 0.0  # by time.monotonic(); past that they are too old to be acted on

    def get(self, rollout: str) -> View | None:
        """None where control is to be served, whatever the stage: it is not known, or not known lately."""
        return self._views.get(rollout) if time.monotonic() < self._until else None

    def blind(self, rollout: str) -> View:
        """As it was last known, serving control."""
        return replace(self._views.get(rollout, NOWHERE), serves=Serves())

    def names(self) -> list[str]:
        """Of the rollouts that are known."""
        return sorted(self._views)

    def visit_of(self, rollout: str) -> Visit | None:
        """Even when it is old: what was counted is counted."""
        view = self._views.get(rollout)
        return view.visit if view else None

    def check(self) -> None:
        views = dict(self._views)
        try:
            views, is_known = _load(), True
        except Error as error:
            is_known = False
            if self._is_known:  # said once, not every second
                log.warning("rollouts cannot be read; the last view holds for a while", error=str(error))
        self._is_known = is_known
        try:
            marks = metrics.marks({name: view.visit.epoch for name, view in views.items()})
            views = {name: _marked(view, marks[name]) for name, view in views.items()}
            if not self._pulse.look():
                self._until = 0.0
            elif is_known:
                self._until = time.monotonic() + BLIND_SECONDS
        except redis.RedisError:
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
    with connection.cursor() as cursor:
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
                is_serving,
            )
            for name, stage, percent, epoch, first_epoch, at_most, window_minutes, is_serving in cursor.fetchall()
        }


def _marked(view: View, mark: Mark) -> View:
    if view.stage is Stage.FULL_ACTIVE and mark.is_relative:
        view = replace(view, visit=replace(view.visit, errors_at_most=None))
    if not mark.has_tripped or view.stage is Stage.DISABLED:
        return view
    return replace(view, serves=Serves(), has_tripped=True)


def _as_before(view: View, before: View | None) -> View:
    if before and before.has_tripped and view.visit.epoch <= before.visit.epoch + 1:
        return replace(view, serves=Serves(), has_tripped=True)
    return view
