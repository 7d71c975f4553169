"""The database's clock, which all processes share."""

from datetime import datetime

from django.db.models import Model
from django.db.models.functions import Now


def database_now(row: Model) -> datetime:
    """Return the time of the database's clock.

    row: any stored row; the query goes by way of it.
    """
    now: datetime = type(row)._default_manager.filter(pk=row.pk).values_list(Now(), flat=True).get()
    return now
