"""The choice of the traces that are exported.

Polls, ticks and other periodic work begin thousands of traces per hour whether anyone uses the site or not, so only a
share of them is exported. All other traces are left to the sampler that OTEL_TRACES_SAMPLER names.
"""

from collections.abc import Collection, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

POLL = "poll"  # the name of a poll's span


class BackgroundSampler(Sampler):
    """Sample the share of background traces; ask the other sampler about the traces of this share and all others.

    foreground: the sampler of the other traces.
    share: of the background traces, 0 to 1. It depends on the trace's id alone, so that every process decides alike.
    tasks: the names of the periodic tasks.
    """

    def __init__(self, foreground: Sampler, share: float, tasks: Collection[str]) -> None:
        self._foreground, self._background = foreground, TraceIdRatioBased(share)
        self._tasks = frozenset(tasks)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        parent = get_current_span(parent_context).get_span_context()
        if parent.is_valid and not parent.is_remote and not parent.trace_flags.sampled:
            return SamplingResult(Decision.DROP, trace_state=parent.trace_state)
        arguments = parent_context, trace_id, name, kind, attributes, links, trace_state
        if not parent.trace_flags.sampled and self._is_background(name, kind):
            result = self._background.should_sample(*arguments)
            if result.decision is Decision.DROP:
                return result
        return self._foreground.should_sample(*arguments)

    def _is_background(self, name: str, kind: SpanKind | None) -> bool:
        """Return whether a trace that begins like this belongs to no request, no command and no task of a user.

        A query or a call outside them is one of a background thread, which reads the states of the rollouts, for
        example. Celery's spans are named after the task: run/NAME and apply_async/NAME.
        """
        return kind is SpanKind.CLIENT or name == POLL or name.partition("/")[2] in self._tasks

    def get_description(self) -> str:
        background, foreground = self._background.get_description(), self._foreground.get_description()
        return f"BackgroundSampler{{{background}, {foreground}}}"
