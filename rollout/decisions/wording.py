"""The values of guards as an operator reads them. Pure."""

from core.text import number
from rollout.choices import Comparison, Direction, Guard
from rollout.decisions.guards import Judgment

PLAIN = {Guard.ERRORS, Guard.TRAFFIC, Guard.OWN_MEAN, Guard.ASSIGNMENT}
TIMES = {Guard.P95_MS, Guard.LATENCY}
AT_LEAST = {Guard.HIT_RATE, Guard.TRAFFIC}


def format_value(guard: Guard, value: float | None) -> str:
    """Return a guard's value with its unit, for an operator; a dash if nothing was measured."""
    if value is None:
        return "–"
    if guard in (Guard.ERRORS, Guard.TRAFFIC, Guard.ASSIGNMENT):
        return f"{value:,.0f}"
    if guard in TIMES:
        return f"{value:,.0f} ms" if value >= 10 else f"{value:.2g} ms"
    if guard in PLAIN:
        return number(value)
    return f"{100 * value:.3g} %"


def format_limit(judgment: Judgment) -> str:
    """Return a guard's limit with its unit and direction, as `≤ 1,000 ms`; of a comparison the ratio to control."""
    if judgment.comparison is Comparison.CONTROL:
        if judgment.limit == 1:
            return "as control"
        if judgment.worse is Direction.LOWER and judgment.control is not None:
            return f"≥ {format_value(judgment.guard, judgment.limit_value)}"
        return f"≤ {judgment.limit:g} × control"
    if judgment.comparison is Comparison.SHARES:
        return "as intended"
    direction = "≥" if judgment.guard in AT_LEAST else "≤"
    return f"{direction} {format_value(judgment.guard, judgment.limit)}"


def format_bound(judgment: Judgment) -> str:
    """Return what the measurements rule out, as `at most 0.8 %`; empty if nothing is."""
    if judgment.bound is None:
        return ""
    if judgment.comparison is Comparison.CONTROL:
        if judgment.worse is Direction.LOWER and judgment.control is not None:
            return f"at least {format_value(judgment.guard, judgment.bound_value)}"
        return f"at most {judgment.bound:.2g} × control"
    extreme = "at least" if judgment.guard in AT_LEAST else "at most"
    return f"{extreme} {format_value(judgment.guard, judgment.bound)}"


def describe_judgment(judgment: Judgment) -> str:
    """Return a judgment in one line, as `hit_rate 33.3 % (limit ≥ 70 %, 60 samples): VIOLATION`."""
    value = "not measured" if judgment.value is None else format_value(judgment.guard, judgment.value)
    parts = [f"limit {format_limit(judgment)}", f"{judgment.samples:,} samples"]
    if judgment.control is not None:
        control = format_value(judgment.guard, judgment.control)
        parts.insert(1, f"control {control} of {judgment.control_samples:,}")
    if judgment.note:
        parts.append(judgment.note)
    return f"{judgment.name} {value} ({', '.join(parts)}): {judgment.verdict.value}"
