"""The planner's estimate of a table's size, for lists that are too long to count."""

from django.db import connection
from django.db.models import Model

from core.db import sql

COUNTED_AT_MOST = 100_000  # rows


def estimated_rows(model: type[Model]) -> int:
    """Return the planner's estimate of the table's rows. It is -1 if the table was never analyzed."""
    with connection.cursor() as cursor:
        cursor.execute(sql.ESTIMATED_ROWS, [model._meta.db_table])
        return int(cursor.fetchone()[0])
