"""manage.py reactivate: parts that were switched off come back, on record, and gates hear of it."""

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


def off(*parts: Part) -> None:
    Activation.objects.filter(part__in=parts).update(is_on=False, by="somebody", reason="an incident")


def test_those_named_come_back_with_who_and_why(capsys: Capture) -> None:
    off(Part.POLLING, Part.WARMING)
    call_command("reactivate", "polling", "--reason", "the feed is back")
    assert capsys.readouterr().out == "switched on: polling\n"
    row = Activation.objects.get(part=Part.POLLING)
    assert (row.is_on, row.reason, row.by.startswith("shell")) == (True, "the feed is back", True)
    assert not Activation.objects.allows(Part.WARMING)
    call_command("reactivate", "polling")
    assert capsys.readouterr().out == "nothing was off\n"
    assert Activation.objects.get(part=Part.POLLING).reason == "the feed is back"


def test_all_of_them_where_none_is_named_and_freezing_is_on_record(capsys: Capture) -> None:
    off(*Part)
    call_command("reactivate", "--json", "--reason", "over")
    assert capsys.readouterr().out == '{"switched_on": ["advancing", "polling", "serving", "warming"]}\n'
    assert not Activation.objects.switched_off().exists()
    assert Transition.objects.get().verb == "unfreeze"
    assert Rollout.objects.get().epoch == 1


@committed
def test_gates_look_at_once() -> None:
    off(Part.SERVING)
    line = client().pubsub()  # type: ignore[no-untyped-call]
    line.subscribe(key("rollouts"))
    line.get_message(timeout=1)
    reactivate([Part.SERVING], actor=SYSTEM, reason="")
    assert line.get_message(timeout=1)["data"] == b"all"
    line.close()


def test_an_unknown_part_is_one_line() -> None:
    with pytest.raises(CommandError, match="invalid choice: 'serfing'"):
        call_command("reactivate", "serfing")


def test_only_who_may_does(member: Callable[[str], User]) -> None:
    with pytest.raises(Refused):
        reactivate([], actor=member("Viewer"), reason="")
    assert reactivate([], actor=member("Operator"), reason="") == []
