"""Rollouts that are archived and cloned, and names that differ in case alone."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client

from core.access.actors import Machine
from core.errors import Refused, WrongInput
from rollout.decisions.stages import Arm
from rollout.gate import gate, runtime
from rollout.models import GuardPolicy, Rollout, StagePolicy, Transition
from rollout.operations import archive, lifecycle, policies
from rollout.status import find_rollout, read_status
from tests.conftest import look

pytestmark = pytest.mark.django_db
NAME = "derived-data"
ANNA = Machine("anna")
Browse = Callable[[str], Client]


def rollout(name: str = NAME) -> Rollout:
    return Rollout.objects.get(name=name)


def act(browser: Client, verb: str, **filled: Any) -> str:
    form = {"seen": rollout().epoch, "reason": "a test"} | filled
    response = browser.post(f"/admin/rollout/rollout/{rollout().pk}/{verb}/", form, follow=True)
    assert response.status_code == 200
    return str(response.content.decode())


def test_an_archived_rollout_is_hidden_and_cannot_be_started(browse: Browse) -> None:
    operator = browse("Operator")
    question = operator.get(f"/admin/rollout/rollout/{rollout().pk}/archive/").content.decode()
    assert "It is hidden from this list and from OFREP" in question
    shown = act(operator, "archive", reason="no longer needed")
    assert "Unarchive…" in shown
    assert "Start…" not in shown
    assert "nothing, because it is archived: manage.py rollout unarchive derived-data" in shown
    assert rollout().archived_at is not None
    transition = Transition.objects.get()
    assert (transition.verb, transition.actor, transition.reason) == ("archive", "operator", "no longer needed")
    address = "/admin/rollout/rollout/"
    lists = [operator.get(f"{address}{query}").content.decode() for query in ("", "?archived=yes", "?archived=all")]
    assert [f"{address}{rollout().pk}/change/" in shown for shown in lists] == [False, True, True]
    assert "Rollout derived-data" not in operator.get("/admin/").content.decode()
    with pytest.raises(WrongInput, match=r"choose one of: $"):
        find_rollout("another")
    with pytest.raises(Refused, match=r"cannot start derived-data: it is archived; run: manage\.py rollout unarchive"):
        lifecycle.start(rollout(), actor=ANNA, reason="")
    with pytest.raises(IntegrityError), transaction.atomic():
        Rollout.objects.update(stage="FULL_ACTIVE")


def flags() -> list[str]:
    """Return the keys of all flags that OFREP evaluates."""
    body, headers = json.dumps({"context": {"targetingKey": "user-6"}}), {"Authorization": "Bearer let-me-in"}
    response = Client().post("/ofrep/v1/evaluate/flags", body, content_type="application/json", headers=headers)
    assert response.status_code == 200
    return [flag["key"] for flag in response.json()["flags"]]


def test_gates_and_ofrep_do_not_know_an_archived_rollout() -> None:
    shared = runtime.shared()
    look(shared.states)
    assert flags() == [NAME]
    archive.archive(rollout(), actor=ANNA, reason="")
    shared.states.refresh()
    assert flags() == []
    assert gate(NAME).decide("user-6") is Arm.CONTROL
    assert gate(NAME).run("user-6", control=lambda: "control", candidate=lambda: "candidate") == "control"
    archive.unarchive(rollout(), actor=ANNA, reason="")
    look(shared.states)
    assert flags() == [NAME]


def test_only_a_disabled_rollout_is_archived_and_only_once() -> None:
    with pytest.raises(Refused, match="cannot unarchive derived-data: it is not archived"):
        archive.unarchive(rollout(), actor=ANNA, reason="")
    lifecycle.start(rollout(), actor=ANNA, reason="")
    with pytest.raises(Refused, match="cannot archive derived-data: it is in DARK_MODE; run: "):
        archive.archive(rollout(), actor=ANNA, reason="")
    lifecycle.abort(rollout(), actor=ANNA, reason="")
    seen = rollout()
    archive.archive(seen, actor=ANNA, reason="")
    with pytest.raises(lifecycle.Overtaken):
        archive.archive(seen, actor=ANNA, reason="")
    with pytest.raises(lifecycle.Overtaken):
        lifecycle.start(seen, actor=ANNA, reason="")
    with pytest.raises(Refused, match="it is archived already"):
        archive.archive(rollout(), actor=ANNA, reason="")


def test_archiving_has_a_permission_of_its_own(browse: Browse) -> None:
    viewer = browse("Viewer")
    address = f"/admin/rollout/rollout/{rollout().pk}/archive/"
    assert viewer.post(address, {"seen": 0}).status_code == 403
    User.objects.get(username="viewer").user_permissions.add(Permission.objects.get(codename="archive_rollout"))
    assert viewer.get(address).status_code == 200


def test_a_clone_has_the_same_policies_and_guards(browse: Browse) -> None:
    policy = StagePolicy.objects.get(stage="DARK_MODE")
    policy.minutes, policy.needs_approval = 7, True
    policies.save_policies([policy], actor=ANNA)
    lifecycle.start(rollout(), actor=ANNA, reason="")
    assert browse("Operator").get(f"/admin/rollout/rollout/{rollout().pk}/clone/").status_code == 403
    shown = act(browse("Admin"), "clone", name="new-odds")
    assert "new-odds" in shown
    clone = rollout("new-odds")
    assert (clone.stage, clone.run_state, clone.epoch) == ("DISABLED", "idle", 0)
    for table, path in ((StagePolicy, "rollout"), (GuardPolicy, "policy__rollout")):
        columns = [field.name for field in table._meta.concrete_fields if not field.primary_key]
        columns = [name for name in columns if name not in ("rollout", "policy", "version")]
        order = ("policy", "guard") if table is GuardPolicy else ("pk",)
        pair = [
            list(table.objects.filter(**{path: each}).order_by(*order).values(*columns)) for each in (rollout(), clone)
        ]
        assert pair[0] == pair[1] != []
    transition = clone.transitions.get()
    assert (transition.verb, transition.reason, transition.actor) == (
        "clone",
        "a clone of derived-data; a test",
        "admin",
    )


@pytest.mark.parametrize("name", ["derived-data", "Derived-Data", "a name", "", "x" * 51])
def test_a_name_that_is_taken_or_not_valid_is_refused(browse: Browse, name: str) -> None:
    refusal = r"cannot create a rollout .*; choose another name"
    with pytest.raises(WrongInput, match=refusal):
        policies.create_rollout(name, actor=ANNA)
    with pytest.raises(WrongInput, match=refusal):
        policies.clone_rollout(rollout(), name, actor=ANNA, reason="")
    admin = browse("Admin")
    response = admin.post("/admin/rollout/rollout/add/", {"name": name})
    assert response.status_code == 200
    if name == "Derived-Data":
        assert "upper and lower case are the same name" in response.content.decode()
    act(admin, "clone", name=name)
    assert Rollout.objects.count() == 1


def test_the_command_archives_and_clones(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("rollout", "clone", NAME, "--to-name", "new-odds", "--reason", "a second book", "--json")
    assert json.loads(capsys.readouterr().out)["verb"] == "clone"
    call_command("rollout", "archive", "new-odds")
    assert read_status(rollout("new-odds")).as_json()["archived"] is True
    call_command("rollout", "unarchive", "new-odds")
    assert rollout("new-odds").archived_at is None
    assert "new-odds: DISABLED, Idle, epoch 2" in capsys.readouterr().out
    with pytest.raises(CommandError, match="cannot clone derived-data: the clone has no name; name it with --to-name"):
        call_command("rollout", "clone", NAME)
    with pytest.raises(CommandError, match="cannot use --to-name with pause; it is an option of clone"):
        call_command("rollout", "pause", NAME, "--to-name", "x")
