"""The command reactivate: parts are switched on, the change is recorded, and gates are notified."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from core.access.actors import SYSTEM
from core.errors import Refused
from core.redis import client, key
from core.switches import Part
from rollout.models import Activation, Rollout, Transition
from rollout.recovery.reactivate import reactivate
from tests.conftest import committed

pytestmark = pytest.mark.django_db
Capture = pytest.CaptureFixture[str]


def switch_off(*parts: Part) -> None:
    Activation.objects.filter(part__in=parts).update(is_on=False, by="an operator", reason="an incident")


def test_named_parts_are_switched_on_with_actor_and_reason(capsys: Capture) -> None:
    switch_off(Part.POLLING, Part.WARMING)
    call_command("reactivate", "polling", "--reason", "the feed is back")
    assert capsys.readouterr().out == "switched on: polling\n"
    row = Activation.objects.get(part=Part.POLLING)
    assert (row.is_on, row.reason, row.by.startswith("shell")) == (True, "the feed is back", True)
    assert not Activation.objects.allows(Part.WARMING)
    call_command("reactivate", "polling")
    assert capsys.readouterr().out == "no part was off\n"
    assert Activation.objects.get(part=Part.POLLING).reason == "the feed is back"


def test_without_a_name_all_parts_are_switched_on_and_unfreezing_is_recorded(capsys: Capture) -> None:
    switch_off(*Part)
    call_command("reactivate", "--json", "--reason", "over")
    assert capsys.readouterr().out == '{"switched_on": ["advancing", "polling", "serving", "warming"]}\n'
    assert not Activation.objects.switched_off().exists()
    assert Transition.objects.get().verb == "unfreeze"
    assert Rollout.objects.get().epoch == 1


@committed
def test_gates_are_notified_at_once() -> None:
    switch_off(Part.SERVING)
    subscription = client().pubsub()  # type: ignore[no-untyped-call]
    subscription.subscribe(key("rollouts"))
    subscription.get_message(timeout=1)
    reactivate([Part.SERVING], actor=SYSTEM, reason="")
    assert subscription.get_message(timeout=1)["data"] == b"all"
    subscription.close()


def test_an_unknown_part_is_refused_in_one_line() -> None:
    with pytest.raises(CommandError, match="invalid choice: 'serfing'"):
        call_command("reactivate", "serfing")


def test_it_needs_the_permission(member: Callable[[str], User]) -> None:
    with pytest.raises(Refused):
        reactivate([], actor=member("Viewer"), reason="")
    assert reactivate([], actor=member("Operator"), reason="") == []
