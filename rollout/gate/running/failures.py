"""The log of candidates and probes that failed. Their callers get control's answer, so nothing else shows the cause."""

from traceback import format_exception_only

import structlog

REMEMBERED_AT_MOST = 1000  # kinds of failures; after that, each kind is logged once more
log = structlog.get_logger("slipway.gate")


class FailureLog:
    """The failures of one process. The first of each type of exception in a stage visit is logged. Threads share it."""

    def __init__(self) -> None:
        self._logged: set[tuple[str, str, type[BaseException]]] = set()

    def add(self, rollout: str, visit: str, error: BaseException) -> None:
        """Log the error with its traceback, unless one of its type was logged in this visit.

        visit: the id of the stage visit.
        """
        kind = (rollout, visit, type(error))
        if kind in self._logged:
            return
        if len(self._logged) >= REMEMBERED_AT_MOST:
            self._logged.clear()
        self._logged.add(kind)
        log.warning(
            "the candidate failed; more errors of this type are counted but not logged in this stage",
            rollout=rollout,
            error="".join(format_exception_only(error)).strip(),  # safe for an exception whose str() raises
            exc_info=error,
        )
