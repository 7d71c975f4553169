"""Runs: checks run side by side within their time limits, and a run is stored, printed, and notified of once."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now

from core.access.actors import SYSTEM
from core.errors import Refused, Taken, WrongInput
from core.health_checks import Check, CheckFunction, Finding, Result, Skipped, Suite, View, check, checks, judged
from core.notices.notify import Event
from tests.conftest import committed
from validation import operations
from validation.models import CheckResult, ValidationRun
from validation.runner import run_checks

GOOD = Finding(Result.PASS, "1", "1", "fine")


def make_check(name: str, run: CheckFunction, seconds: float = 10.0) -> Check:
    return Check(name, "a category", Suite.EXTENDED, run, seconds)


def good(view: View) -> Finding:
    return GOOD


def breaks(view: View) -> Finding:
    raise ZeroDivisionError("key=sk-verysecret")


def exits(view: View) -> Finding:
    raise SystemExit


def skips(view: View) -> Finding:
    raise Skipped("nothing to look at", "make something")


def skips_without_remedy(view: View) -> Finding:
    raise Skipped("a reason without a remedy")


def returns_nothing(view: View) -> Finding:
    return None  # type: ignore[return-value]


def writes(view: View) -> Finding:
    view.rows("UPDATE rollout_rollout SET percent = 50 RETURNING 1")
    return GOOD


@committed
def test_a_check_that_breaks_hangs_or_writes_is_an_error_and_stops_no_other() -> None:
    hold = threading.Event()

    def hangs(view: View) -> Finding:
        hold.wait()
        return GOOD

    def sleeps(view: View) -> Finding:
        view.rows("SELECT pg_sleep(60)")
        return GOOD

    chosen = [
        make_check("hangs", hangs, 0.3),
        make_check("sleeps", sleeps, 0.3),
        make_check("breaks", breaks),
        make_check("exits", exits),
    ]
    chosen += [
        make_check("skips", skips),
        make_check("writes", writes),
        *(make_check(f"good {n}", good) for n in range(6)),
    ]
    findings = {outcome.check.id: outcome.finding for outcome in run_checks(chosen).outcomes}
    hold.set()
    assert list(findings) == [chosen_check.id for chosen_check in chosen]
    results = {name: finding.result for name, finding in findings.items()}
    assert {results[name] for name in ("hangs", "sleeps", "breaks", "exits", "writes")} == {Result.ERROR}
    assert results["skips"] is Result.SKIP
    assert {results[f"good {n}"] for n in range(6)} == {Result.PASS}
    assert findings["hangs"].message == "no answer within 0.3 s"
    assert "read-only transaction" in findings["writes"].message
    assert findings["breaks"].message.startswith("the check broke: ZeroDivisionError")


@committed
def test_all_checks_see_the_database_as_it_was_when_the_run_began() -> None:
    first, seen = threading.Event(), []

    def changes(view: View) -> Finding:
        ValidationRun.objects.count()
        first.set()
        return GOOD

    def looks(view: View) -> Finding:
        assert first.wait(5)
        done = threading.Thread(target=add)
        done.start()
        done.join()
        seen.append(ValidationRun.objects.count())
        return GOOD

    def add() -> None:
        ValidationRun.objects.create()
        connection.close()

    run_checks([make_check("changes", changes), make_check("looks", looks)])
    assert (seen, ValidationRun.objects.count()) == ([0], 1)


def test_any_app_can_register_checks(registry: None) -> None:
    check("mine", "mine", Suite.EXTENDED)(good)
    check("another", "other", Suite.EXIT)(skips)
    assert [registered.id for registered in checks()] == ["mine", "another"]
    assert [registered.id for registered in checks(Suite.EXIT)] == ["another"]
    assert [registered.id for registered in checks(category="mine")] == ["mine"]
    name = __name__.replace(".", r"\.")
    with pytest.raises(Taken, match=f"cannot register the check mine of {name}: {name} has this id; choose another id"):
        check("mine", "mine")(skips)


def run(*args: str) -> tuple[int, str, str]:
    out, err, code = StringIO(), StringIO(), 0
    try:
        call_command("validate", *args, stdout=out, stderr=err)
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def few(registry: None) -> dict[str, Finding]:
    """Return the findings of two checks of the exit suite, which a test may replace."""
    findings = {"one": GOOD, "two": GOOD}
    check("one", "first")(lambda view: findings["one"])
    check("two", "second")(lambda view: findings["two"])
    return findings


BAD = judged(False, 1, 0, "it is wrong", remedy="mend it", offending=["a"])


@committed
def test_the_exit_code_follows_from_the_overall_result(few: dict[str, Finding]) -> None:
    assert run()[0] == 0
    few["one"] = BAD
    code, out, _ = run("--format", "json")
    document = json.loads(out)
    assert (code, document["overall"], document["failed"], document["pass_rate"]) == (1, "FAIL", 1, 50.0)
    assert document["checks"][0] | {"ms": 0} == {
        "id": "one",
        "category": "first",
        "status": "FAIL",
        "value": "1",
        "limit": "0",
        "message": "it is wrong",
        "remedy": "mend it",
        "offending": ["a"],
        "offending_count": 1,
        "ms": 0,
    }
    assert run("--category", "second")[0] == 0
    few["one"] = Finding(Result.SKIP, "", "", "", "")
    assert (run()[0], run("--fail-on", "warn")[0]) == (0, 1)
    with pytest.raises(CommandError) as wrong:
        run("--category", "third")
    assert wrong.value.returncode == 2


@committed
def test_without_a_database_no_check_runs(few: dict[str, Finding]) -> None:
    host = connection.settings_dict["HOST"]
    connection.close()
    connection.settings_dict["HOST"] = "/nowhere"
    try:
        with pytest.raises(CommandError, match="the database does not answer") as failed:
            run()
    finally:
        connection.settings_dict["HOST"] = host
    assert failed.value.returncode == 3


@committed
def test_a_run_that_cannot_be_stored_is_printed_with_a_note(few: dict[str, Finding], notice_kinds: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE validation_checkresult RENAME TO elsewhere")
    try:
        code, out, err = run()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO validation_checkresult")
    assert code == 0
    assert "PASS: 2 of 2 passed" in out
    assert "this run could not be stored" in err
    assert notice_kinds == ["validation_not_stored"]
    assert not ValidationRun.objects.exists()


@committed
def test_a_check_that_changes_is_notified_of_once(few: dict[str, Finding], notices: list[Event]) -> None:
    for finding in (GOOD, BAD, BAD, GOOD, GOOD):
        few["one"] = finding
        operations.validate(actor=SYSTEM)
    assert [(event.kind, event.subject) for event in notices] == [("check_failed", "one"), ("check_recovered", "one")]
    stored = CheckResult.objects.filter(check_id="one").order_by("pk").values_list("result", flat=True)
    assert list(stored) == ["PASS", "FAIL", "FAIL", "PASS", "PASS"]
    newest = ValidationRun.objects.latest("pk")
    assert (newest.overall, newest.total, newest.passed, newest.requested_by) == ("PASS", 2, 2, "system")


@committed
def test_only_an_actor_with_the_permission_validates(few: dict[str, Finding], member: Callable[[str], object]) -> None:
    with pytest.raises(Refused, match=r"validation\.run_validationrun"):
        operations.validate(actor=member("Viewer"))  # type: ignore[arg-type]
    assert operations.validate(actor=member("Operator")).overall is Result.PASS  # type: ignore[arg-type]
    with pytest.raises(WrongInput):
        operations.validate(category="none", actor=SYSTEM)


@pytest.mark.django_db
def test_runs_past_their_retention_are_deleted() -> None:
    old = ValidationRun.objects.create(started_at=Now() - timedelta(days=91))
    CheckResult.objects.create(run=old, check_id="c", category_name="c", result="PASS", value="", limit="", ms=1)
    ValidationRun.objects.create()
    assert operations.prune() == 2
    assert ValidationRun.objects.count() == 1


@committed
def test_a_fault_of_a_full_run_holds_until_a_full_run_passes(registry: None, notice_kinds: list[str]) -> None:
    is_mended = False
    check("one", "first", is_sampled=True)(lambda view: BAD if view.is_full and not is_mended else GOOD)
    assert operations.validate(actor=SYSTEM).overall is Result.PASS
    assert operations.validate(is_full=True, actor=SYSTEM).overall is Result.FAIL
    again = operations.validate(actor=SYSTEM)
    assert again.overall is Result.FAIL
    assert "as the last full run found" in again.outcomes[0].finding.message
    assert "manage.py validate --full" in again.outcomes[0].finding.remedy
    is_mended = True
    assert operations.validate(is_full=True, actor=SYSTEM).overall is Result.PASS
    assert operations.validate(actor=SYSTEM).overall is Result.PASS
    assert notice_kinds == ["check_failed", "check_recovered"]


@committed
def test_a_run_gets_the_start_of_the_last_full_run(registry: None) -> None:
    seen = []

    def looks(view: View) -> Finding:
        seen.append((view.since, view.value("SELECT now()")))
        return GOOD

    check("one", "first", is_sampled=True)(looks)
    operations.validate(is_full=True, actor=SYSTEM)
    operations.validate(actor=SYSTEM)
    assert seen[0][0] is None
    assert seen[1][0] is not None
    assert seen[1][0] <= seen[0][1]


@committed
def test_a_failure_in_one_category_is_notified_once(few: dict[str, Finding], notice_kinds: list[str]) -> None:
    few["one"] = BAD
    operations.validate(category="first", actor=SYSTEM)
    operations.validate(actor=SYSTEM)
    assert notice_kinds == ["check_failed"]


@committed
def test_a_missed_run_is_notified_of_once(few: dict[str, Finding], notice_kinds: list[str]) -> None:
    operations.notify_if_overdue()
    operations.validate(actor=SYSTEM)
    operations.notify_if_overdue()
    assert notice_kinds == []
    ValidationRun.objects.update(started_at=Now() - timedelta(minutes=21))
    operations.notify_if_overdue()
    operations.notify_if_overdue()
    assert notice_kinds == ["validation_missed"]
    operations.validate(actor=SYSTEM)
    ValidationRun.objects.update(started_at=Now() - timedelta(minutes=21))
    operations.notify_if_overdue()
    assert notice_kinds == ["validation_missed"] * 2


@committed
def test_a_check_that_returns_no_finding_stops_no_other() -> None:
    chosen = [make_check("none", returns_nothing), make_check("short", skips_without_remedy), make_check("good", good)]
    results = [outcome.finding.result for outcome in run_checks(chosen).outcomes]
    assert results == [Result.ERROR, Result.SKIP, Result.PASS]
