"""A registry of a test's own."""

import pytest

from core import health_checks


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the checks that come with Slipway."""
    monkeypatch.setattr(health_checks, "_checks", {})
