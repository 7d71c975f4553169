"""Choices of the rollout app."""

from typing import Self

from django.db import models


class Part(models.TextChoices):
    """What an operator can switch off as a whole."""

    POLLING = "polling", "Polling"
    WARMING = "warming", "Warming"
    SERVING = "serving", "Serving"
    ADVANCING = "advancing", "Advancing"


class Look(models.TextChoices):
    symbol: str  # beside the colour, because not everybody sees colours
    colour: str

    def __new__(cls, value: str, symbol: str = "", colour: str = "") -> Self:
        look = str.__new__(cls, value)
        look._value_, look.symbol, look.colour = value, symbol, colour
        return look


class Stage(Look):
    """In the order in which they are gone through."""

    DISABLED = "DISABLED", "○", "gray", "Disabled"
    DARK_MODE = "DARK_MODE", "◔", "blue", "Dark mode"
    SHADOW_MODE = "SHADOW_MODE", "◑", "blue", "Shadow mode"
    PARTIAL_ACTIVE = "PARTIAL_ACTIVE", "◕", "orange", "Partially active"
    FULL_ACTIVE = "FULL_ACTIVE", "●", "green", "Fully active"


class RunState(Look):
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


class Verdict(Look):
    PASS = "PASS", "✓", "green", "Pass"
    INCONCLUSIVE = "INCONCLUSIVE", "…", "gray", "Inconclusive"
    ERROR = "ERROR", "?", "orange", "Not measurable"
    VIOLATION = "VIOLATION", "✕", "red", "Violation"


class Consequence(models.TextChoices):
    """Where a violation leads."""

    DISABLE = "disable", "to disabled"
    STEP_BACK = "step_back", "one stage back"
    WARN = "warn", "nowhere: it is only said"


class Kind(Look):
    """Of recovery runs: the three levels, and what is done beside them."""

    EMERGENCY = "emergency", "■", "red", "Emergency"
    STANDARD = "standard", "↩", "orange", "Standard"
    GRADUAL = "gradual", "↘", "blue", "Gradual"
    UNDO = "undo", "↺", "blue", "Undo"
    RESTORE = "restore", "⇧", "blue", "Restore"
    PURGE = "purge", "✕", "gray", "Purge"


class Outcome(Look):
    """Of recovery runs and their steps."""

    RUNNING = "running", "▶", "blue", "Running"
    PAUSED = "paused", "‖", "orange", "Paused"
    DONE = "done", "✓", "green", "Done"
    FAILED = "failed", "✕", "red", "Failed"
    CUT_SHORT = "cut_short", "⤓", "orange", "Cut short"
