"""The members of each group sign in, see everything, and are offered only what they may do."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from rollout.models import Rollout
from tests.browser.reader import Reader


@pytest.mark.parametrize(
    ("group", "can_start", "can_edit"), [("Viewer", False, False), ("Operator", True, False), ("Admin", True, True)]
)
def test_a_group_is_offered_what_it_may_do(
    group: str, can_start: bool, can_edit: bool, reader: Reader, member: Callable[[str], User]
) -> None:
    user = member(group)
    user.set_password("quite a long one")
    user.save()
    reader.sign_in(group.lower(), "quite a long one")
    assert reader.sees("Changes in the last day")
    reader.open(f"/admin/rollout/rollout/{Rollout.objects.get().pk}/change/")
    assert bool(reader.all("#verb-start")) is can_start
    assert bool(reader.all("input[name$=minutes]")) is can_edit


def test_a_wrong_password_is_refused(reader: Reader, member: Callable[[str], User]) -> None:
    member("Viewer")
    reader.sign_in("viewer", "a guess")
    assert reader.sees("Please enter the correct username and password")
    assert reader.all("input[name=password]")
