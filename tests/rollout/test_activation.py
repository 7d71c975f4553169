"""The parts that an operator can switch off as a whole."""

import pytest

from core.switches import Part
from rollout.models import Activation

pytestmark = pytest.mark.django_db


def test_every_part_is_on_after_the_migrations() -> None:
    assert set(Activation.objects.values_list("part", "is_on")) == {(part.value, True) for part in Part}


def test_a_part_without_a_row_is_off() -> None:
    Activation.objects.filter(part=Part.POLLING).delete()
    assert not Activation.objects.allows(Part.POLLING)
    assert Activation.objects.allows(Part.SERVING)


def test_it_names_the_parts_that_are_off() -> None:
    Activation.objects.filter(part=Part.WARMING).update(is_on=False)
    assert [str(part) for part in Activation.objects.switched_off()] == ["Warming: off"]
