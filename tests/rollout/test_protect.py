"""The registry of protected tables."""

import pytest
from django.core.exceptions import FieldDoesNotExist

from core.errors import Taken
from providers.models import Provider, ProviderState, Sport
from rollout.recovery.protect import protect, protected


def test_the_fleet_is_protected() -> None:
    volatile = {protection.model: protection.volatile for protection in protected()}
    assert volatile.keys() >= {Sport, Provider, ProviderState}
    assert volatile[ProviderState] == ("updated_at",)


def test_it_refuses_a_table_that_another_module_protects() -> None:
    with pytest.raises(Taken) as caught:
        protect(Sport)
    assert str(caught.value) == (
        "cannot protect the table providers_sport for tests.rollout.test_protect: providers.apps protects it already; "
        "leave out one of the two calls of protect"
    )


def test_it_refuses_a_column_that_the_table_lacks() -> None:
    with pytest.raises(FieldDoesNotExist):
        protect(Sport, volatile=("mood",))
