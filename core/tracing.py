"""Spans of Slipway's own work. They cost nothing unless the process exports traces (config/tracing)."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

Attributes = Mapping[str, str | Sequence[str]]
StartSpan = Callable[[str, Attributes], AbstractContextManager[object]]
_starters: list[StartSpan] = []
_NO_SPAN = nullcontext()


def trace_with(start: StartSpan | None) -> None:
    """Start each span with this function from now on; None: start none."""
    _starters[:] = [start] if start else []


def span(name: str, attributes: Attributes) -> AbstractContextManager[object]:
    """Return a context in which a span is the current one, if this process exports traces."""
    return _starters[0](name, attributes) if _starters else _NO_SPAN
