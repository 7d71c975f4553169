"""The operations on provider states and providers."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db.models.functions import Now
from pytest_django import DjangoCaptureOnCommitCallbacks

from core.access.actors import SYSTEM
from core.errors import Refused
from providers import operations
from providers.models import PollSlot, Provider, ProviderState, StatusChange

VERBS = [
    operations.enable,
    operations.disable,
    operations.poll_now,
    operations.set_maintenance,
    operations.return_to_service,
]


@pytest.fixture
def operator(member: Callable[[str], User]) -> User:
    return member("Operator")


@pytest.fixture
def betmgm(fleet: None) -> ProviderState:
    return ProviderState.objects.get(provider="betmgm", sport="NBA")


def slot(state: ProviderState) -> PollSlot:
    return PollSlot.objects.get(base_url=state.provider.base_url, sport=state.sport_id)


def put_off() -> None:
    PollSlot.objects.update(next_poll_at=Now() + timedelta(minutes=1))


def due() -> list[str]:
    """Return the names of the slots that are due now."""
    return [str(row) for row in PollSlot.objects.filter(next_poll_at__lte=Now())]


def test_enabling_makes_the_first_poll_due_at_once(betmgm: ProviderState, operator: User) -> None:
    put_off()
    assert operations.enable([betmgm.pk], actor=operator) == 1
    assert due() == ["odds_api https://api.the-odds-api.com NBA"]
    assert operations.enable([betmgm.pk], actor=operator) == 0


def test_disabling_the_last_member_ends_the_slots_polls(state: ProviderState, operator: User) -> None:
    assert operations.disable([state.pk], actor=operator) == 1
    assert slot(state).next_poll_at is None


def test_disabling_one_of_several_members_keeps_the_slot(fleet: None, operator: User) -> None:
    fanduel = ProviderState.objects.get(provider="fanduel", sport="NBA")
    operations.disable([fanduel.pk], actor=operator)
    assert slot(fanduel).next_poll_at is not None


def test_polling_now_polls_only_enabled_states(state: ProviderState, betmgm: ProviderState, operator: User) -> None:
    put_off()
    ProviderState.objects.exclude(pk__in=[state.pk, betmgm.pk]).update(is_enabled=False)
    operations.set_maintenance([], actor=operator)  # makes the slots match
    assert operations.poll_now([state.pk, betmgm.pk], actor=operator) == 1
    assert due() == ["odds_api stub feed NBA"]


def test_maintenance_ends_only_by_returning_to_service(
    state: ProviderState, operator: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    assert operations.set_maintenance([state.pk], actor=operator) == 1
    assert slot(state).next_poll_at is None
    operations.enable([state.pk], actor=operator)
    assert slot(state).next_poll_at is None
    with django_capture_on_commit_callbacks() as callbacks:
        assert operations.return_to_service([state.pk], actor=operator) == 1
    assert slot(state).next_poll_at is not None
    state.refresh_from_db()
    assert state.status == "inactive"
    changes = list(StatusChange.objects.values_list("from_status", "to_status", "cause", "actor").order_by("pk"))
    assert changes == [
        ("active", "maintenance", "set to maintenance", "operator"),
        ("maintenance", "inactive", "returned to service", "operator"),
    ]
    assert len(callbacks) == 1


def test_returning_to_service_changes_only_states_in_maintenance(state: ProviderState, operator: User) -> None:
    assert operations.return_to_service([state.pk], actor=operator) == 0
    state.refresh_from_db()
    assert state.status == "active"


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_every_verb_refuses_a_viewer(
    verb: Callable[..., int], state: ProviderState, member: Callable[[str], User]
) -> None:
    before = ProviderState.objects.values().get(pk=state.pk)
    with pytest.raises(Refused, match="viewer lacks the permission"):
        verb([state.pk], actor=member("Viewer"))
    assert ProviderState.objects.values().get(pk=state.pk) == before


def test_an_operator_may_not_edit(state: ProviderState, operator: User) -> None:
    with pytest.raises(Refused, match="change_providerstate"):
        operations.save_configuration(state, actor=operator)


def test_an_edit_takes_effect_and_is_recorded_with_its_actor(
    state: ProviderState, member: Callable[[str], User]
) -> None:
    put_off()
    state.poll_interval_seconds = 30
    operations.save_configuration(state, actor=member("Admin"))
    edited = slot(state)
    assert edited.interval_seconds == 30
    assert PollSlot.objects.filter(pk=edited.pk, next_poll_at__lte=Now() + timedelta(seconds=30)).exists()
    event = apps.get_model("providers", "ProviderStateEvent").objects.filter(pgh_obj=state.pk).latest("pgh_id")
    assert (event.pgh_label, event.poll_interval_seconds) == ("update", 30)
    assert event.pgh_context.metadata == {"actor": "admin", "verb": "change"}


def test_an_edit_never_changes_counters(state: ProviderState) -> None:
    ProviderState.objects.filter(pk=state.pk).update(total_requests=5, status="error")
    state.max_retries = 2
    operations.save_configuration(state, actor=SYSTEM)
    state.refresh_from_db()
    assert (state.total_requests, state.status, state.max_retries) == (5, "error", 2)


def test_another_account_gets_another_slot(fleet: None) -> None:
    provider = Provider.objects.get(name="draftkings")
    provider.base_url = "https://odds.example.com"
    operations.save_configuration(provider, actor=SYSTEM)
    slots = PollSlot.objects.exclude(next_poll_at=None)
    assert slots.filter(base_url="https://odds.example.com").count() == 4
    assert slots.count() == 12


def test_a_state_can_be_deleted(state: ProviderState) -> None:
    operations.delete(state, actor=SYSTEM)
    assert not ProviderState.objects.filter(provider="stub", sport="NBA").exists()
    assert PollSlot.objects.get(base_url="", sport="NBA").next_poll_at is None
