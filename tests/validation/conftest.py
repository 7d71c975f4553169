"""A registry of a test's own."""

from collections.abc import Iterator

import pytest

from core.health_checks import empty_registry


@pytest.fixture
def registry() -> Iterator[None]:
    """A registry without the checks that come with Slipway."""
    with empty_registry():
        yield
