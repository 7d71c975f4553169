"""Signing in: wrong passwords lock a name at one address, and sessions expire."""

from datetime import timedelta

import pytest
import time_machine
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from rollout.operations import lifecycle

pytestmark = pytest.mark.django_db
LOGIN = "/admin/login/"


def sign_in(password: str, address: str = "192.0.2.7") -> int:
    form = {"username": "ada", "password": password, "next": "/admin/"}
    return Client(REMOTE_ADDR=address).post(LOGIN, form).status_code


@pytest.fixture(autouse=True)
def ada(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a real one takes 0.2 s per attempt
    User.objects.create_user("ada", password="a right one", is_staff=True)


def test_five_wrong_passwords_lock_the_name_for_15_minutes() -> None:
    assert [sign_in("wrong") for _ in range(5)] == [200, 200, 200, 200, 429]
    assert sign_in("a right one") == 429
    assert sign_in("a right one", address="192.0.2.8") == 302, "the name is not locked at another address"
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=16))
    assert sign_in("a right one") == 302


def test_a_right_password_resets_the_count() -> None:
    for _ in range(3):
        assert [sign_in("wrong") for _ in range(4)] == [200] * 4
        assert sign_in("a right one") == 302


def test_a_session_ends_after_twelve_hours() -> None:
    client = Client()
    client.force_login(User.objects.get(username="ada"))
    with time_machine.travel(timezone.now() + timedelta(hours=11, minutes=59)):
        assert client.get("/admin/").status_code == 200
    with time_machine.travel(timezone.now() + timedelta(hours=12, seconds=1)):
        assert client.get("/admin/").status_code == 302


def test_expired_sessions_are_deleted() -> None:
    client = Client()
    client.force_login(User.objects.get(username="ada"))
    assert lifecycle.prune() == 0
    Session.objects.update(expire_date=Now() - timedelta(seconds=1))
    assert lifecycle.prune() == 1
    assert not Session.objects.exists()
