"""Which traces are exported: a share of the background's, and all others as OTEL_TRACES_SAMPLER asks."""

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, DEFAULT_ON, Decision, Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from config.tracing.sampler import BackgroundSampler

TASKS = {"rollout.tick"}
SHARED, NOT_SHARED = 1, (1 << 64) - 1  # trace ids below and above each share between 0 and 1


def parent(*, is_sampled: bool, is_remote: bool) -> Context:
    flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
    return trace.set_span_in_context(NonRecordingSpan(SpanContext(NOT_SHARED, 7, is_remote, flags)))


def is_sampled(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    *,
    foreground: Sampler = DEFAULT_ON,
    trace_id: int = NOT_SHARED,
    context: Context | None = None,
) -> bool:
    sampler = BackgroundSampler(foreground, 0.01, TASKS)
    return sampler.should_sample(context or Context(), trace_id, name, kind).decision is not Decision.DROP


BACKGROUND = [
    ("poll", SpanKind.INTERNAL),
    ("apply_async/rollout.tick", SpanKind.PRODUCER),
    ("run/rollout.tick", SpanKind.CONSUMER),
    ("SELECT", SpanKind.CLIENT),
]


@pytest.mark.parametrize(("name", "kind"), BACKGROUND)
def test_a_share_of_the_background_is_sampled(name: str, kind: SpanKind) -> None:
    assert is_sampled(name, kind, trace_id=SHARED)
    assert not is_sampled(name, kind, trace_id=NOT_SHARED)
    assert not is_sampled(name, kind, trace_id=SHARED, foreground=ALWAYS_OFF)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("GET api", SpanKind.SERVER), ("manage.py rollout", SpanKind.INTERNAL), ("run/x.of_a_user", SpanKind.CONSUMER)],
)
def test_all_else_is_left_to_the_other_sampler(name: str, kind: SpanKind) -> None:
    assert is_sampled(name, kind)
    assert not is_sampled(name, kind, foreground=ALWAYS_OFF)


@pytest.mark.parametrize(("name", "kind"), BACKGROUND)
def test_what_belongs_to_a_sampled_trace_is_sampled(name: str, kind: SpanKind) -> None:
    assert is_sampled(name, kind, context=parent(is_sampled=True, is_remote=False))
    assert is_sampled(name, kind, context=parent(is_sampled=True, is_remote=True))


@pytest.mark.parametrize("foreground", [DEFAULT_ON, ALWAYS_ON])
def test_what_belongs_to_a_dropped_trace_is_dropped(foreground: Sampler) -> None:
    dropped = parent(is_sampled=False, is_remote=False)
    assert not is_sampled("anything", foreground=foreground, context=dropped)
    from_beat = parent(is_sampled=False, is_remote=True)
    assert not is_sampled("run/rollout.tick", SpanKind.CONSUMER, foreground=foreground, context=from_beat)
