"""provider-states: the fleet is there, and polled."""

from django.db.models import F
from django.urls import reverse

from core.health_checks import Finding, View, check, judged
from providers.choices import Status
from providers.models import ProviderState

CATEGORY = "provider-states"
BACKFILL = "run: manage.py backfill_providers"
SPORTS = ("MLB", "NBA", "NFL", "NHL")
PROVIDERS = ("stub", "draftkings", "fanduel")
STATES, ACTIVE, ERRORS = 24, 4, 3


def _page(state: ProviderState) -> str:
    return reverse("admin:providers_providerstate_change", args=[state.pk])


@check("provider_states_count", CATEGORY)
def provider_states_count(view: View) -> Finding:
    count = ProviderState.objects.count()
    return judged(count >= STATES, count, f"at least {STATES}", f"{count} provider states", remedy=BACKFILL)


@check("sports_coverage", CATEGORY)
def sports_coverage(view: View) -> Finding:
    found = set(ProviderState.objects.order_by().values_list("sport_id", flat=True).distinct())
    missing = [sport for sport in SPORTS if sport not in found]
    said = f"no provider state of {', '.join(missing)}" if missing else "each sport has provider states"
    return judged(
        not missing,
        f"{len(SPORTS) - len(missing)} sports",
        f"{len(SPORTS)} sports",
        said,
        remedy=BACKFILL,
        offending=missing,
    )


@check("provider_types_coverage", CATEGORY)
def provider_types_coverage(view: View) -> Finding:
    found = set(ProviderState.objects.order_by().values_list("provider_id", flat=True).distinct())
    missing = [name for name in PROVIDERS if name not in found]
    said = f"no provider state of {', '.join(missing)}" if missing else f"{', '.join(PROVIDERS)} are there"
    return judged(
        not missing,
        f"{len(PROVIDERS) - len(missing)} of them",
        f"all {len(PROVIDERS)}",
        said,
        remedy=BACKFILL,
        offending=missing,
    )


@check("active_providers_count", CATEGORY)
def active_providers_count(view: View) -> Finding:
    count = ProviderState.objects.filter(is_enabled=True, status=Status.ACTIVE).count()
    remedy = "look at the last errors under Provider states, and enable those that are to be polled"
    return judged(count >= ACTIVE, count, f"at least {ACTIVE}", f"{count} enabled states are active", remedy=remedy)


@check("provider_error_rates", CATEGORY)
def provider_error_rates(view: View) -> Finding:
    enabled = ProviderState.objects.pollable().only("provider", "sport", "consecutive_errors", "last_error")
    failing = enabled.filter(consecutive_errors__gt=ERRORS).order_by("provider", "sport")
    names = {f"{state}: {state.consecutive_errors} errors in a row, {state.last_error}": state for state in failing}
    most = enabled.order_by(F("consecutive_errors").desc()).first()
    return judged(
        not names,
        f"{most.consecutive_errors if most else 0} in a row",
        f"at most {ERRORS}",
        f"{len(names)} enabled states fail again and again" if names else "no enabled state fails again and again",
        remedy="see what each one's last error says; set it to maintenance if its upstream is down for long",
        offending=list(names),
        links={name: _page(state) for name, state in names.items()},
    )
