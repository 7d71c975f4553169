"""Choices of the rollout app."""

from django.db import models

from core.choices import StyledChoices


class Stage(StyledChoices):
    """In the order in which they are gone through."""

    DISABLED = "DISABLED", "○", "gray", "Disabled"
    DARK_MODE = "DARK_MODE", "◔", "blue", "Dark mode"
    SHADOW_MODE = "SHADOW_MODE", "◑", "blue", "Shadow mode"
    PARTIAL_ACTIVE = "PARTIAL_ACTIVE", "◕", "orange", "Partially active"
    FULL_ACTIVE = "FULL_ACTIVE", "●", "green", "Fully active"


class RunState(StyledChoices):
    IDLE = "idle", "○", "gray", "Idle"
    RUNNING = "running", "▶", "blue", "Running"
    WAITING = "waiting", "?", "orange", "Waits for approval"
    PAUSED = "paused", "‖", "orange", "Paused"
    DONE = "done", "✓", "green", "Done"
    COOLING = "cooling", "❄", "red", "Cooling down"


class Guard(models.TextChoices):
    ERRORS = "errors", "Errors"
    P95_MS = "p95_ms", "95th percentile, ms"
    HIT_RATE = "hit_rate", "Hit rate"
    ERROR_RATE = "error_rate", "Errors against control"
    MISMATCH_RATE = "mismatch_rate", "Mismatches"
    FEED_HEALTH = "feed_health", "Feeds in error"


class Verdict(StyledChoices):
    PASS = "PASS", "✓", "green", "Pass"
    INCONCLUSIVE = "INCONCLUSIVE", "…", "gray", "Inconclusive"
    ERROR = "ERROR", "?", "orange", "Not measurable"
    VIOLATION = "VIOLATION", "✕", "red", "Violation"


class Consequence(models.TextChoices):
    """Where a violation leads."""

    DISABLE = "disable", "to disabled"
    STEP_BACK = "step_back", "one stage back"
    WARN = "warn", "nowhere: it is only said"


class RunKind(StyledChoices):
    """Of recovery runs: the three levels, and what is done beside them."""

    EMERGENCY = "emergency", "■", "red", "Emergency"
    STANDARD = "standard", "↩", "orange", "Standard"
    GRADUAL = "gradual", "↘", "blue", "Gradual"
    UNDO = "undo", "↺", "blue", "Undo"
    RESTORE = "restore", "⇧", "blue", "Restore"
    PURGE = "purge", "✕", "gray", "Purge"


class RunOutcome(StyledChoices):
    """Of recovery runs and their steps."""

    RUNNING = "running", "▶", "blue", "Running"
    PAUSED = "paused", "‖", "orange", "Paused"
    DONE = "done", "✓", "green", "Done"
    FAILED = "failed", "✕", "red", "Failed"
    CUT_SHORT = "cut_short", "⤓", "orange", "Cut short"
