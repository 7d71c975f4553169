"""The category data-integrity: the stored rows are as Slipway wrote them."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from django.urls import reverse

from caching.models import CacheEntry
from core.db.estimates import estimated_rows
from core.health_checks import OFFENDING_AT_MOST, Finding, View, check, judged
from providers.adapter_names import AdapterUnusable
from providers.adapters import find_upstream
from providers.models import ProviderState
from validation import sql
from validation.checks.payloads import payload_problem

CATEGORY = "data-integrity"
SAMPLE, PAGE = 10_000, 5_000  # rows


class StoredEntry(NamedTuple):
    """The columns of a cache entry that the check reads."""

    pk: int
    cache_key: str
    cache_type: str
    data: str
    data_hash: str


@check("provider_sports_validity", CATEGORY)
def provider_sports_validity(view: View) -> Finding:
    """Count the provider states that name a missing sport or provider, or a sport that their adapter lacks. Limit: 0.

    Only enabled states are compared with their adapter.
    """
    rows = view.rows(sql.STATES_WITHOUT_PARENT)
    wrong = {f"{provider} {sport}: no such provider or sport": pk for pk, provider, sport in rows}
    broken = set(wrong.values())
    columns = ("sport", "provider__name", "provider__adapter")
    for state in ProviderState.objects.filter(is_enabled=True).select_related("provider").only(*columns):
        if state.pk in broken:
            continue
        if problem := _adapter_problem(state.provider.adapter, state.sport_id):
            wrong[f"{state}: {problem}"] = state.pk
    return judged(
        not wrong,
        f"{len(wrong)} states",
        "0 states",
        f"{len(wrong)} provider states cannot be polled" if wrong else "every enabled provider state can be polled",
        remedy="install the missing adapters, or disable the states, or give their provider another adapter; "
        "then run: manage.py backfill_providers",
        offending=list(wrong),
        links={name: reverse("admin:providers_providerstate_change", args=[pk]) for name, pk in wrong.items()},
    )


def _adapter_problem(adapter: str, sport: str) -> str:
    """Return why the adapter cannot poll the sport; empty if it can."""
    try:
        upstream = find_upstream(adapter)
    except AdapterUnusable as error:
        return str(error.args[0])
    return "" if sport in upstream.sports else f"the adapter {adapter} has no {sport}"


@check("cache_json_validity", CATEGORY, seconds=600, is_sampled=True)
def cache_json_validity(view: View) -> Finding:
    """Count the cache entries whose payload is invalid or does not match its stored hash. Limit: 0.

    A full run reads every entry. Another run reads a sample of about 10,000 entries, and the entries that changed since
    the last full run.
    """
    seen: set[int] = set()
    named: dict[str, int] = {}
    count = 0
    for entry in _entries(view):
        if entry.pk in seen:  # a changed entry may also be in the sample
            continue
        seen.add(entry.pk)
        if problem := _entry_problem(entry):
            count += 1
            if len(named) < OFFENDING_AT_MOST:
                named[f"{entry.cache_key}: {problem}"] = entry.pk
    return judged(
        not count,
        f"{count} of {len(seen):,} entries",
        "0 entries",
        f"{count} entries are not as they were computed"
        if count
        else f"{len(seen):,} entries are as they were computed",
        remedy="run: manage.py warm_caches --force; then find out which process writes to portfolio_rationales",
        offending=list(named),
        count=count,
        links={name: reverse("admin:caching_cacheentry_change", args=[pk]) for name, pk in named.items()},
    )


def _entry_problem(entry: StoredEntry) -> str:
    """Return what is wrong with the entry; empty if nothing is."""
    data = entry.data.encode()
    if problem := payload_problem(entry.cache_type, data):
        return problem
    return "" if hashlib.sha256(data).hexdigest() == entry.data_hash else "the payload does not match its hash"


def _entries(view: View) -> Iterator[StoredEntry]:
    """Yield all entries, or a sample and the changed entries if the table is large. An entry may come twice."""
    estimate = 0 if view.is_full else estimated_rows(CacheEntry)
    if estimate <= SAMPLE:
        yield from _pages(view, sql.ALL_ENTRIES)
        return
    sampled = view.rows(sql.SAMPLED_ENTRIES, {"percent": min(100.0, 100.0 * SAMPLE / estimate)})
    yield from map(StoredEntry._make, sampled)
    if view.since is not None:
        yield from _pages(view, sql.CHANGED_ENTRIES)


def _pages(view: View, statement: str) -> Iterator[StoredEntry]:
    """Yield the rows of the statement, PAGE (5,000) at a time, in the order of their ids."""
    after = 0
    while True:
        rows = view.rows(statement, {"after": after, "limit": PAGE, "since": view.since})
        yield from map(StoredEntry._make, rows)
        if len(rows) < PAGE:
            return
        after = rows[-1][0]
