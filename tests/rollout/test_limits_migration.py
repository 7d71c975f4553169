"""The migration that adds limits to policies, on rows of the release before that are outside them."""

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

pytestmark = pytest.mark.django_db
COPY_STAGE = """
INSERT INTO rollout_rollout (name, stage, run_state, epoch, percent, pace, stage_epoch, settled_epoch, paused_seconds,
                             approved_by, control_requests, control_errors)
SELECT %s, %s, run_state, 0, 0, 1, 0, 0, 0, '', 0, 0 FROM rollout_rollout WHERE name = 'derived-data'"""


def execute(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def test_the_migration_clamps_policies_and_renames_rollouts_whose_names_differ_in_case_alone() -> None:
    call_command("migrate", "rollout", "0009", verbosity=0)
    execute(
        "UPDATE rollout_stagepolicy SET minutes = 'Infinity', cool_down_minutes = 'NaN', errors_in_a_row = 32000, "
        "percents = '{0,50,25,200}' WHERE stage = 'PARTIAL_ACTIVE'"
    )
    execute("UPDATE rollout_stagepolicy SET minutes = 1e12 WHERE stage = 'DARK_MODE'")
    execute("UPDATE rollout_guardpolicy SET at_most = 'NaN', min_samples = 2000000000 WHERE guard = 'p95_ms'")
    execute("UPDATE rollout_guardpolicy SET at_most = 0 WHERE guard = 'error_rate'")
    for name, stage in (("Derived-Data", "DARK_MODE"), ("derived-data-2", "DISABLED"), ("x" * 50, "DISABLED")):
        execute(COPY_STAGE, name, stage)
    execute(COPY_STAGE, "X" * 50, "DISABLED")

    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute("SET CONSTRAINTS ALL DEFERRED")

    call_command("migrate", "rollout", "0010", verbosity=0)

    stages = dict(execute("SELECT stage, minutes FROM rollout_stagepolicy"))
    assert stages == {"DARK_MODE": 43200, "SHADOW_MODE": 15, "PARTIAL_ACTIVE": 43200, "FULL_ACTIVE": 10}
    partial = "SELECT cool_down_minutes, errors_in_a_row, percents FROM rollout_stagepolicy WHERE stage = %s"
    assert execute(partial, "PARTIAL_ACTIVE") == [(10080, 1000, [25, 50])]
    guards = dict(execute("SELECT guard, max(at_most) FROM rollout_guardpolicy GROUP BY guard"))
    assert (guards["p95_ms"], guards["error_rate"], guards["errors"]) == (80000, 0.000001, 5)
    assert execute("SELECT max(min_samples) FROM rollout_guardpolicy") == [(10_000_000,)]
    names = {name for (name,) in execute("SELECT name FROM rollout_rollout")}
    # The rollout that is under way keeps its name, because applications pass it to gate().
    assert names == {"Derived-Data", "derived-data-3", "derived-data-2", "x" * 50, f"{'X' * 48}-2"}
    edited = "SELECT DISTINCT pgh_label FROM rollout_stagepolicyevent WHERE stage = 'SHADOW_MODE'"
    assert execute(edited) in ([], [("insert",)])  # a row within the limits was not edited
