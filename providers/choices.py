"""The choices of the providers app, each with its symbol and color."""

from core.choices import StyledChoices


class Status(StyledChoices):
    """The status of a provider state, as polling found it. Only an operator sets `maintenance`."""

    INACTIVE = "inactive", "○", "gray", "Inactive"
    ACTIVE = "active", "●", "green", "Active"
    ERROR = "error", "✕", "red", "Error"
    MAINTENANCE = "maintenance", "‖", "blue", "Maintenance"


class PollOutcome(StyledChoices):
    """The outcome of one upstream call."""

    OK = "ok", "●", "green", "Ok"
    TIMEOUT = "timeout", "⏱", "red", "Timed out"
    UNREACHABLE = "unreachable", "⌀", "red", "Unreachable"
    REFUSED = "refused", "⛔", "red", "Refused"  # HTTP 401 or 403, or an address that may not be called
    THROTTLED = "throttled", "≋", "orange", "Throttled"
    OUT_OF_QUOTA = "out_of_quota", "∅", "red", "Out of quota"
    HTTP_ERROR = "http_error", "✕", "red", "HTTP error"
    UNREADABLE = "unreadable", "?", "red", "Unreadable"
    TOO_LARGE = "too_large", "⇪", "red", "Too large"


class ImportState(StyledChoices):
    """The state of an uploaded file."""

    WAITING = "waiting", "◔", "blue", "Waiting"
    DONE = "done", "✓", "green", "Done"
    FAILED = "failed", "✕", "red", "Failed"
