"""Running checks: side by side, each within its time, kept, told of once, and printed for people and for programs."""

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
from core.errors import Refused, WrongInput
from core.health_checks import Check, Finding, Result, Skipped, Suite, View, check, checks, judged
from core.notices import notify
from tests.conftest import committed
from validation import operations
from validation.models import CheckResult, ValidationRun
from validation.runner import run_checks

Looks = Callable[[View], Finding]
GOOD = Finding(Result.PASS, "1", "1", "fine")


def made(name: str, run: Looks, seconds: float = 10.0) -> Check:
    return Check(name, "a category", Suite.EXTENDED, run, seconds)


def good(view: View) -> Finding:
    return GOOD


def breaks(view: View) -> Finding:
    raise ZeroDivisionError("key=sk-verysecret")


def exits(view: View) -> Finding:
    raise SystemExit


def skips(view: View) -> Finding:
    raise Skipped("nothing to look at", "make something")


def writes(view: View) -> Finding:
    view.rows("UPDATE rollout_rollout SET percent = 50 RETURNING 1")
    return GOOD


@committed
def test_one_that_breaks_hangs_or_writes_is_an_error_and_the_rest_goes_on() -> None:
    hold = threading.Event()

    def hangs(view: View) -> Finding:
        hold.wait()
        return GOOD

    def sleeps(view: View) -> Finding:
        view.rows("SELECT pg_sleep(60)")
        return GOOD

    chosen = [made("hangs", hangs, 0.3), made("sleeps", sleeps, 0.3), made("breaks", breaks), made("exits", exits)]
    chosen += [made("skips", skips), made("writes", writes), *(made(f"good {n}", good) for n in range(6))]
    outcomes = {each.check.id: each.finding for each in run_checks(chosen)[1]}
    hold.set()
    assert list(outcomes) == [each.id for each in chosen]
    results = {name: finding.result for name, finding in outcomes.items()}
    assert {results[name] for name in ("hangs", "sleeps", "breaks", "exits", "writes")} == {Result.ERROR}
    assert results["skips"] is Result.SKIP
    assert {results[f"good {n}"] for n in range(6)} == {Result.PASS}
    assert outcomes["hangs"].message == "no answer within 0.3 s"
    assert "read-only transaction" in outcomes["writes"].message
    assert outcomes["breaks"].message.startswith("the check broke: ZeroDivisionError")


@committed
def test_all_see_the_database_as_it_was_when_the_run_began() -> None:
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

    run_checks([made("changes", changes), made("looks", looks)])[1]
    assert (seen, ValidationRun.objects.count()) == ([0], 1)


def test_any_app_may_register_checks(registry: None) -> None:
    check("mine", "mine", Suite.EXTENDED)(good)
    check("another", "other", Suite.EXIT)(skips)
    assert [each.id for each in checks()] == ["mine", "another"]
    assert [each.id for each in checks(Suite.EXIT)] == ["another"]
    assert [each.id for each in checks(category="mine")] == ["mine"]
    with pytest.raises(ValueError, match="there is a check mine already"):
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
    """Two checks of the exit suite, whose findings a test sets."""
    findings = {"one": GOOD, "two": GOOD}
    check("one", "first")(lambda view: findings["one"])
    check("two", "second")(lambda view: findings["two"])
    return findings


BAD = judged(False, 1, 0, "it is wrong", remedy="mend it", offending=["a"])


@committed
def test_the_exit_code_is_what_was_found(few: dict[str, Finding]) -> None:
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
        with pytest.raises(CommandError, match="the database does not answer") as gone:
            run()
    finally:
        connection.settings_dict["HOST"] = host
    assert gone.value.returncode == 3


@committed
def test_a_run_that_cannot_be_stored_is_printed_and_says_so(
    few: dict[str, Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(notify, "_channels", [lambda event: told.append(event.kind)])
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
    assert told == ["validation_not_stored"]
    assert not ValidationRun.objects.exists()


@committed
def test_a_check_that_turns_is_told_of_once(few: dict[str, Finding], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(notify, "_channels", [lambda event: told.append((event.kind, event.subject))])
    for finding in (GOOD, BAD, BAD, GOOD, GOOD):
        few["one"] = finding
        operations.validate(actor=SYSTEM)
    assert told == [("check_failed", "one"), ("check_recovered", "one")]
    kept = CheckResult.objects.filter(check_id="one").order_by("pk").values_list("result", flat=True)
    assert list(kept) == ["PASS", "FAIL", "FAIL", "PASS", "PASS"]
    newest = ValidationRun.objects.latest("pk")
    assert (newest.overall, newest.total, newest.passed, newest.requested_by) == ("PASS", 2, 2, "system")


@committed
def test_only_who_may_validates(few: dict[str, Finding], member: Callable[[str], object]) -> None:
    with pytest.raises(Refused, match=r"validation\.run_validationrun"):
        operations.validate(actor=member("Viewer"))  # type: ignore[arg-type]
    assert operations.validate(actor=member("Operator")).overall is Result.PASS  # type: ignore[arg-type]
    with pytest.raises(WrongInput):
        operations.validate(category="none", actor=SYSTEM)


@pytest.mark.django_db
def test_old_runs_are_forgotten() -> None:
    old = ValidationRun.objects.create(started_at=Now() - timedelta(days=91))
    CheckResult.objects.create(run=old, check_id="c", category_name="c", result="PASS", value="", limit="", ms=1)
    ValidationRun.objects.create()
    assert operations.prune() == 2
    assert ValidationRun.objects.count() == 1


@committed
def test_what_only_a_full_run_sees_stands_until_a_full_run_passes(
    registry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(notify, "_channels", [lambda event: told.append(event.kind)])
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
    assert told == ["check_failed", "check_recovered"]


@committed
def test_a_full_run_saw_what_there_was_when_it_began(registry: None) -> None:
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
def test_one_category_and_then_all_is_told_of_once(few: dict[str, Finding], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(notify, "_channels", [lambda event: told.append(event.kind)])
    few["one"] = BAD
    operations.validate(category="first", actor=SYSTEM)
    operations.validate(actor=SYSTEM)
    assert told == ["check_failed"]


@committed
def test_a_run_that_did_not_come_is_told_of_once(few: dict[str, Finding], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(notify, "_channels", [lambda event: told.append(event.kind)])
    operations.watch()
    operations.validate(actor=SYSTEM)
    operations.watch()
    assert told == []
    ValidationRun.objects.update(started_at=Now() - timedelta(minutes=21))
    operations.watch()
    operations.watch()
    assert told == ["validation_missed"]
    operations.validate(actor=SYSTEM)
    ValidationRun.objects.update(started_at=Now() - timedelta(minutes=21))
    operations.watch()
    assert told == ["validation_missed"] * 2


@committed
def test_a_check_that_answers_nonsense_stops_no_other() -> None:
    chosen = [made("none", lambda view: None), made("short", lambda view: _skip()), made("good", good)]  # type: ignore[arg-type, return-value]
    results = [each.finding.result for each in run_checks(chosen)[1]]
    assert results == [Result.ERROR, Result.SKIP, Result.PASS]


def _skip() -> Finding:
    raise Skipped("only why")
