"""A rollback from the admin: its plan alone, then for real, then undone. The page shows each step as it ends."""

from collections.abc import Callable

from rollout.models import RecoveryRun, Rollout
from tests.browser.reader import Reader
from tests.rollout.recovery.conftest import activate_fully, contents


def test_a_rollback_dry_for_real_and_undone(signed_in: Callable[[str], Reader]) -> None:
    operator, before = signed_in("Operator"), contents()
    activate_fully()
    operator.open("/admin/rollout/recoveryrun/")
    operator.all("#begin-emergency")[0].click()
    assert operator.sees("Switch off polling, warming and serving (no time known yet)")
    operator.press("Go back")
    assert operator.sees("never rehearsed")
    assert not RecoveryRun.objects.exists(), "the plan alone changes nothing"

    operator.all("#begin-emergency")[0].click()
    operator.type("reason", "wrong odds")
    operator.type("typed", "standard")
    operator.press("Roll back")
    assert operator.sees("The text must be emergency"), "a wrong word begins nothing"
    operator.type("typed", "emergency")
    operator.press("Roll back")
    assert operator.sees("✓ Done Verify", seconds=60)
    assert operator.sees("✓ kept")
    assert Rollout.objects.get().stage == "DISABLED"
    assert contents() != before
    operator.open("/admin/")
    for part in ("Polling", "Warming", "Serving"):
        assert operator.sees(f"{part} is off since")

    operator.open(f"/admin/rollout/recoveryrun/{RecoveryRun.objects.get().pk}/change/")
    operator.press("Undo")
    operator.type("typed", "undo")
    operator.press("Undo")
    assert operator.sees("↺ Undo ✓ Done", seconds=60)
    assert contents() == before

    operator.open("/admin/rollout/recoveryrun/")
    operator.press("Switch on again")
    operator.press("Reactivate")
    assert operator.sees("Switched on: polling, serving, warming")
