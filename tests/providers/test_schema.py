"""The columns and constraints of the table that other systems rely on, as PostgreSQL has them."""

import pytest
from django.db import IntegrityError, connection, transaction

from providers.models import ProviderState

COLUMNS = [
    "id",
    "provider_name",
    "sport",
    "status",
    "is_enabled",
    "poll_interval_seconds",
    "timeout_seconds",
    "max_retries",
    "last_fetch_attempt",
    "last_successful_fetch",
    "last_error",
    "consecutive_errors",
    "total_requests",
    "successful_requests",
    "failed_requests",
    "average_response_time_ms",
    "total_props_fetched",
    "unique_props_seen",
    "last_prop_count",
    "capabilities",
    "created_at",
    "updated_at",
]


@pytest.mark.django_db
def test_provider_states_has_its_22_columns() -> None:
    with connection.cursor() as cursor:
        names = [column.name for column in connection.introspection.get_table_description(cursor, "provider_states")]
    assert sorted(names) == sorted(COLUMNS)
    assert len(names) == 22


@pytest.mark.parametrize(
    "wrong",
    [
        {"poll_interval_seconds": 29},
        {"poll_interval_seconds": 301},
        {"timeout_seconds": 9},
        {"timeout_seconds": 61},
        {"status": "confused"},
        {"total_requests": -1},
        {"average_response_time_ms": -0.5},
        {"sport_id": "CRICKET"},
        {"provider_id": "nobody"},
        {"sport_id": "NFL"},  # stub NFL exists
    ],
    ids=str,
)
def test_the_database_refuses_impossible_values(state: ProviderState, wrong: dict[str, object]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        ProviderState.objects.filter(pk=state.pk).update(**wrong)
        connection.check_constraints()
