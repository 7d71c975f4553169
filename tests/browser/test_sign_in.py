"""Each group signs in, sees all, and is offered what it may do."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from rollout.models import Rollout
from tests.browser.reader import Reader


@pytest.mark.parametrize(
    ("group", "acts", "edits"), [("Viewer", False, False), ("Operator", True, False), ("Admin", True, True)]
)
def test_a_group_is_offered_what_it_may_do(
    group: str, acts: bool, edits: bool, reader: Reader, member: Callable[[str], User]
) -> None:
    user = member(group)
    user.set_password("quite a long one")
    user.save()
    reader.sign_in(group.lower(), "quite a long one")
    assert reader.sees("What changed in the last day")
    reader.open(f"/admin/rollout/rollout/{Rollout.objects.get().pk}/change/")
    assert bool(reader.all("#verb-start")) is acts
    assert bool(reader.all("input[name$=minutes]")) is edits


def test_a_wrong_password_is_told_of(reader: Reader, member: Callable[[str], User]) -> None:
    member("Viewer")
    reader.sign_in("viewer", "a guess")
    assert reader.sees("Please enter the correct username and password")
    assert reader.all("input[name=password]")
