"""data-integrity: what is stored is what was meant to be."""

import hashlib
from collections.abc import Iterator

from django.urls import reverse

from core.health_checks import OFFENDING_AT_MOST, Finding, View, check, judged
from providers.adapters import UPSTREAMS
from providers.models import ProviderState
from validation import sql
from validation.checks.payloads import problem

CATEGORY = "data-integrity"
SAMPLE, AT_ONCE = 10_000, 5_000  # rows
Entry = tuple[int, str, str, str, str]


@check("provider_sports_validity", CATEGORY)
def provider_sports_validity(view: View) -> Finding:
    """Each state's sport and provider exist, and what is enabled is a sport that its adapter can ask for."""
    wrong = {f"{provider} {sport}: unknown": pk for pk, provider, sport in view.rows(sql.ADRIFT)}
    named = ("sport", "provider__name", "provider__adapter")
    for state in ProviderState.objects.filter(is_enabled=True).select_related("provider").only(*named):
        if state.pk in wrong.values():
            continue
        if state.provider.adapter not in UPSTREAMS or state.sport_id not in UPSTREAMS[state.provider.adapter].sports:
            wrong[f"{state}: {state.provider.adapter} has no {state.sport_id}"] = state.pk
    return judged(
        not wrong,
        f"{len(wrong)} states",
        "0 states",
        f"{len(wrong)} provider states name what does not exist" if wrong else "provider states name what exists",
        remedy="disable them, or give their provider another adapter; manage.py backfill_providers",
        offending=list(wrong),
        links={name: reverse("admin:providers_providerstate_change", args=[pk]) for name, pk in wrong.items()},
    )


@check("cache_json_validity", CATEGORY, seconds=600, is_sampled=True)
def cache_json_validity(view: View) -> Finding:
    """All with a full run; else what changed since the last one, and a sample."""
    looked: set[int] = set()
    wrong: dict[str, int] = {}
    count = 0
    for pk, key, cache_type, data, digest in _entries(view):
        if pk in looked:
            continue
        looked.add(pk)
        said = data.encode()
        found = problem(cache_type, said)
        if not found and hashlib.sha256(said).hexdigest() != digest:
            found = "it is not what its hash was made of"
        if found:
            count += 1
            if len(wrong) < OFFENDING_AT_MOST:
                wrong[f"{key}: {found}"] = pk
    return judged(
        not count,
        f"{count} of {len(looked):,} entries",
        "0 entries",
        f"{count} entries are not what was computed" if count else f"{len(looked):,} are what was computed",
        remedy="compute them again: manage.py warm_caches --force; find out who writes to portfolio_rationales",
        offending=list(wrong),
        count=count,
        links={name: reverse("admin:caching_cacheentry_change", args=[pk]) for name, pk in wrong.items()},
    )


def _entries(view: View) -> Iterator[Entry]:
    if view.is_full:
        yield from _paged(view, sql.ALL_ENTRIES)
        return
    rows = view.value(sql.ESTIMATED_ENTRIES)
    if rows <= SAMPLE:
        yield from _paged(view, sql.ALL_ENTRIES)
        return
    yield from view.rows(sql.SAMPLED_ENTRIES, {"percent": min(100.0, 100.0 * SAMPLE / rows)})
    if view.since is not None:
        yield from _paged(view, sql.CHANGED_ENTRIES)


def _paged(view: View, statement: str) -> Iterator[Entry]:
    after = 0
    while True:
        rows = view.rows(statement, {"after": after, "limit": AT_ONCE, "since": view.since})
        yield from rows
        if len(rows) < AT_ONCE:
            return
        after = rows[-1][0]
