"""The decisions of gates as attributes of the request's span."""

from opentelemetry import trace

from rollout.decisions.stages import Arm
from rollout.gate.gates import Gate, note_decisions_with
from rollout.gate.state import RolloutState
from rollout.ofrep import reason_of


def register() -> None:
    """Note each decision in the span during which it is made, from now on."""
    note_decisions_with(note_decision)


def note_decision(gate: Gate, state: RolloutState | None, arm: Arm) -> None:
    """Add the decision to the current span. If a request makes several, its attributes show the last, its events all.

    state: None if the rollout is unknown, blind or too old; then the span shows the stage last known.
    """
    span = trace.get_current_span()
    if not span.is_recording():
        return
    state = state or gate.state()
    decision = {
        "slipway.rollout": gate.name,
        "slipway.arm": arm.value,
        "slipway.stage": state.stage.value,
        "slipway.reason": reason_of(state),
    }
    span.set_attributes(decision)
    span.add_event("slipway.decision", decision)
