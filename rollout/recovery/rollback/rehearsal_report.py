"""The report of a rehearsal: the JSON that its child process prints, and its parent records. Times are ISO 8601."""

from typing import Any, TypedDict


class RehearsedStep(TypedDict):
    """A step that the child executed. The names of undo steps begin with `undo: `."""

    name: str
    outcome: str
    evidence: dict[str, Any]  # evidence.py describes it for each step
    started_at: str
    ended_at: str


class RehearsalReport(TypedDict):
    """The result of the level and its undo; `problem` is empty if nothing stopped them."""

    outcome: str
    problem: str
    started_at: str
    ended_at: str
    steps: list[RehearsedStep]
