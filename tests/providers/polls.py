"""One poll by hand, for the tests of polling."""

from providers import operations
from providers.backfill import Scope
from providers.feed import Poll
from rollout.actors import SYSTEM


def poll(provider: str = "stub", sport: str = "NBA") -> Poll:
    """One poll by hand, start to end."""
    [polled] = [future.result(30) for future in operations.poll_round(Scope(provider, sport), actor=SYSTEM)]
    assert polled.is_stored
    return polled.poll


def event(**changes: object) -> dict[str, object]:
    far: dict[str, object] = {
        "id": "x",
        "commence_time": "2099-01-01T00:00:00Z",
        "home_team": "H",
        "away_team": None,
        "bookmakers": [],
    }
    return far | changes
