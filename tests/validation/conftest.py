"""A registry of a test's own."""

import pytest

from rollout import criteria


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the checks that come with Slipway."""
    monkeypatch.setattr(criteria, "_checks", {})
