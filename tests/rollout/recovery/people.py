"""Users of the installation of a test."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User

from config.console.groups import make_groups


@pytest.fixture
def member(installation: None) -> Callable[[str], User]:
    """Return a function that makes a user of a group, in the installation's database."""

    def make(group: str) -> User:
        make_groups()
        user = User.objects.create_user(group.lower(), is_staff=True)
        user.groups.add(Group.objects.get(name=group))
        return user

    return make
