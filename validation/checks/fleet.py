"""The category provider-states: the fleet is complete, and it is polled."""

from django.db.models import F
from django.urls import reverse

from core.health_checks import Finding, View, check, judged
from providers.choices import Status
from providers.models import ProviderState

CATEGORY = "provider-states"
BACKFILL = "run: manage.py backfill_providers"
SPORTS = ("MLB", "NBA", "NFL", "NHL")
PROVIDERS = ("stub", "draftkings", "fanduel")
STATES_AT_LEAST, ACTIVE_AT_LEAST, ERRORS_AT_MOST = 24, 4, 3


@check("provider_states_count", CATEGORY)
def provider_states_count(view: View) -> Finding:
    """Count the provider states. Limit: at least 24."""
    count = ProviderState.objects.count()
    message = f"the fleet has {count} provider states"
    return judged(count >= STATES_AT_LEAST, count, f"at least {STATES_AT_LEAST}", message, remedy=BACKFILL)


@check("sports_coverage", CATEGORY)
def sports_coverage(view: View) -> Finding:
    """Count the sports that have a provider state. Limit: MLB, NBA, NFL and NHL."""
    covered = set(ProviderState.objects.order_by().values_list("sport_id", flat=True).distinct())
    missing = [sport for sport in SPORTS if sport not in covered]
    return judged(
        not missing,
        f"{len(SPORTS) - len(missing)} sports",
        f"{len(SPORTS)} sports",
        f"no provider state of {', '.join(missing)}" if missing else "every sport has provider states",
        remedy=BACKFILL,
        offending=missing,
    )


@check("provider_types_coverage", CATEGORY)
def provider_types_coverage(view: View) -> Finding:
    """Count the priority providers that have a provider state. Limit: stub, draftkings and fanduel."""
    covered = set(ProviderState.objects.order_by().values_list("provider_id", flat=True).distinct())
    missing = [name for name in PROVIDERS if name not in covered]
    return judged(
        not missing,
        f"{len(PROVIDERS) - len(missing)} providers",
        f"{len(PROVIDERS)} providers",
        f"no provider state of {', '.join(missing)}" if missing else f"{', '.join(PROVIDERS)} have provider states",
        remedy=BACKFILL,
        offending=missing,
    )


@check("active_providers_count", CATEGORY)
def active_providers_count(view: View) -> Finding:
    """Count the enabled provider states whose status is active. Limit: at least 4."""
    count = ProviderState.objects.filter(is_enabled=True, status=Status.ACTIVE).count()
    return judged(
        count >= ACTIVE_AT_LEAST,
        count,
        f"at least {ACTIVE_AT_LEAST}",
        f"{count} enabled provider states are active",
        remedy="see the last errors under Provider states in the admin, and enable the states that should be polled",
    )


@check("provider_error_rates", CATEGORY)
def provider_error_rates(view: View) -> Finding:
    """Find the most consecutive errors of a polled provider state. Limit: at most 3."""
    polled = ProviderState.objects.pollable().only("provider", "sport", "consecutive_errors", "last_error")
    failing = polled.filter(consecutive_errors__gt=ERRORS_AT_MOST).order_by("provider", "sport")
    names = {f"{state}: {state.consecutive_errors} consecutive errors, {state.last_error}": state for state in failing}
    worst = polled.order_by(F("consecutive_errors").desc()).first()
    return judged(
        not names,
        f"{worst.consecutive_errors if worst else 0} consecutive errors",
        f"at most {ERRORS_AT_MOST}",
        f"{len(names)} polled provider states keep failing" if names else "no polled provider state keeps failing",
        remedy="see the last error of each; if an upstream is down for long, set its state to maintenance in the admin",
        offending=list(names),
        links={name: reverse("admin:providers_providerstate_change", args=[state.pk]) for name, state in names.items()},
    )
