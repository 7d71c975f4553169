"""One alert for the whole fleet: when more than half of it fails at once, the cause is likelier on our side."""

from django.db import connection, transaction

from core.notices.notify import Event, notify
from providers import sql
from providers.fleet.health import is_our_side, is_over


@transaction.atomic
def watch_fleet() -> None:
    """Raise or end the alert, once however many workers look."""
    with connection.cursor() as cursor:
        cursor.execute(sql.FLEET)
        failing, polled, accounts = cursor.fetchone()
        if is_our_side(failing, polled):
            cursor.execute(sql.RAISE_ALERT)
            of = f"{accounts} accounts" if accounts > 1 else "one account (its key, its quota?)"
            message = f"{failing} of {polled} provider states fail at once, of {of}: look on our side first"
        elif is_over(failing, polled):
            cursor.execute(sql.END_ALERT)
            message = f"no longer does half of the fleet fail: {failing} of {polled} provider states do"
        else:
            return
        if cursor.rowcount:
            told = Event("our_side", "fleet", message, {"failing": failing, "polled": polled})
            transaction.on_commit(lambda: notify(told))
