"""Choices of the rollout app."""

from django.db import models

from core.choices import StyledChoices


class Stage(StyledChoices):
    """The stages of a rollout, in the order in which it passes through them."""

    DISABLED = "DISABLED", "○", "gray", "Disabled"
    DARK_MODE = "DARK_MODE", "◔", "blue", "Dark mode"
    SHADOW_MODE = "SHADOW_MODE", "◑", "blue", "Shadow mode"
    PARTIAL_ACTIVE = "PARTIAL_ACTIVE", "◕", "orange", "Partially active"
    FULL_ACTIVE = "FULL_ACTIVE", "●", "green", "Fully active"


class RunState(StyledChoices):
    """The activity of a rollout in its stage."""

    IDLE = "idle", "○", "gray", "Idle"
    RUNNING = "running", "▶", "blue", "Running"
    WAITING = "waiting", "?", "orange", "Waits for approval"
    PAUSED = "paused", "‖", "orange", "Paused"
    DONE = "done", "✓", "green", "Done"
    COOLING = "cooling", "❄", "red", "Cooling down"


class Guard(models.TextChoices):
    """The guards: the qualities of a candidate that are judged."""

    TRAFFIC = "traffic", "Requests seen"
    ERRORS = "errors", "Errors"
    ERROR_RATE = "error_rate", "Error rate"
    P95_MS = "p95_ms", "95th percentile, ms"
    LATENCY = "latency", "Latency against control"
    HIT_RATE = "hit_rate", "Hit rate"
    MISMATCH_RATE = "mismatch_rate", "Mismatches"
    ASSIGNMENT = "assignment", "Keys by arm"
    OWN_SHARE = "own_share", "Share of an own metric"
    OWN_MEAN = "own_mean", "Mean of an own metric"
    FEED_HEALTH = "feed_health", "Feeds in error"


class Comparison(models.TextChoices):
    """The thing that a guard compares its metric with."""

    COUNT = "count", "a number of errors"
    LIMIT = "limit", "a limit"
    CONTROL = "control", "control"
    SHARES = "shares", "the intended shares"


class Direction(models.TextChoices):
    """The direction in which one of the application's own metrics becomes worse."""

    HIGHER = "higher", "higher is worse"
    LOWER = "lower", "lower is worse"


class Verdict(StyledChoices):
    """The verdict of a guard. `rollout.decisions.guards.SEVERITY` is their order."""

    PASS = "PASS", "✓", "green", "Pass"
    INCONCLUSIVE = "INCONCLUSIVE", "…", "gray", "Inconclusive"
    ERROR = "ERROR", "?", "orange", "Not measurable"
    VIOLATION = "VIOLATION", "✕", "red", "Violation"


class Consequence(models.TextChoices):
    """The place that a guard's violation leads to."""

    DISABLE = "disable", "to disabled"
    STEP_BACK = "step_back", "one stage back"
    WARN = "warn", "nowhere: it only warns"


class RunKind(StyledChoices):
    """The kinds of recovery runs: the three levels of a rollback, and the runs that are no rollback."""

    EMERGENCY = "emergency", "■", "red", "Emergency"
    STANDARD = "standard", "↩", "orange", "Standard"
    GRADUAL = "gradual", "↘", "blue", "Gradual"
    UNDO = "undo", "↺", "blue", "Undo"
    RESTORE = "restore", "⇧", "blue", "Restore"
    PURGE = "purge", "✕", "gray", "Purge"


class RunOutcome(StyledChoices):
    """The outcome of a recovery run or of one of its steps."""

    RUNNING = "running", "▶", "blue", "Running"
    PAUSED = "paused", "‖", "orange", "Paused"
    DONE = "done", "✓", "green", "Done"
    FAILED = "failed", "✕", "red", "Failed"
    CUT_SHORT = "cut_short", "⤓", "orange", "Cut short"
