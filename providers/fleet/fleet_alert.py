"""The one alert for the whole fleet: if more than half of it fails at once, the cause is probably on our side."""

from django.db import connection, transaction
from django.db.models.functions import Now

from core.notices.notify import Event, notify
from providers.fleet import sql
from providers.fleet.health import has_fleet_recovered, is_fleet_failing
from providers.models import FleetAlert


@transaction.atomic
def watch_fleet() -> None:
    """Raise or end the alert. Of all workers that notice the change, one notifies the operators."""
    with connection.cursor() as cursor:
        cursor.execute(sql.COUNT_FAILING)
        failing, polled, accounts = cursor.fetchone()
    if is_fleet_failing(failing, polled):
        changed = FleetAlert.objects.filter(since__isnull=True).update(since=Now())
        affected = f"{accounts} accounts" if accounts > 1 else "one account (check its key and its quota)"
        message = (
            f"{failing} of {polled} provider states fail at once, of {affected}: "
            "first check this side (network, name server, clock)"
        )
    elif has_fleet_recovered(failing, polled):
        changed = FleetAlert.objects.filter(since__isnull=False).update(since=None)
        message = f"the fleet no longer fails as a whole: {failing} of {polled} provider states fail"
    else:
        return
    if changed:
        event = Event("our_side", "fleet", message, {"failing": failing, "polled": polled})
        transaction.on_commit(lambda: notify(event))
