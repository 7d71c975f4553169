"""The admin pages: the list of entries, page by page, and each entry's picture."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from caching import operations
from caching.admin.pictures import bars, heat_map, ranges
from caching.derivations.payloads import (
    CorrelationPayload,
    FactorPayload,
    Pair,
    PlayerPayload,
    PositionGroup,
    Projection,
)
from caching.models import CacheEntry, CacheLookup, CacheTarget
from caching.warming import warm
from core.access.actors import SYSTEM
from core.console import keyset

pytestmark = pytest.mark.django_db
LIST = "/admin/caching/cacheentry/"


@pytest.fixture
def entries(fleet: None) -> list[str]:
    """Make 250 entries, and return their keys, the newest first."""
    now = timezone.now()
    rows = [
        CacheEntry(
            cache_key=f"player:nba:p{number:03}:v1",
            cache_type="CACHE_PLAYER",
            data_json="{}",
            sport="NBA" if number % 2 else "NFL",
            subject=f"p{number:03}",
            model_version="v1",
            data_hash="00" * 32,
            confidence=0.5,
            sample_size=1,
            generation_time_ms=1,
            size_bytes=2,
            soft_expires_at=now + timedelta(hours=number - 10),
            expires_at=now + timedelta(hours=number - 5),
            ttl_seconds=3600,
        )
        for number in range(250)
    ]
    return [entry.cache_key for entry in reversed(CacheEntry.objects.bulk_create(rows))]


def keys(page: str) -> list[str]:
    return re.findall(r"player:nba:p\d+:v1(?=</a>)", page)


def link(page: str, text: str) -> str | None:
    match = re.search(rf'<a href="([^"]+)"[^>]*>{text}', page)
    return match.group(1).replace("&amp;", "&") if match else None


def test_every_entry_is_on_one_page_in_both_directions(entries: list[str], browse: Callable[[str], Client]) -> None:
    client, seen, pages = browse("Viewer"), [], []
    address: str | None = "?"
    while address is not None:
        page = client.get(LIST + address).content.decode()
        pages.append(keys(page))
        seen += pages[-1]
        address, back = link(page, "Older"), link(page, "‹ Newer")
    assert (seen, len(pages)) == (entries, 5)
    assert back is not None
    assert keys(client.get(LIST + back).content.decode()) == pages[-2]
    assert "250 cache entries" in page
    assert keys(client.get(LIST + (link(page, "« Newest") or "")).content.decode()) == pages[0]


def test_pages_keep_their_filters(entries: list[str], browse: Callable[[str], Client]) -> None:
    client = browse("Viewer")
    page = client.get(f"{LIST}?sport=NBA").content.decode()
    older = link(page, "Older")
    assert older is not None and "sport=NBA" in older
    page = client.get(LIST + older).content.decode()
    assert (len(keys(page)), "125 cache entries" in page) == (50, True)


@pytest.mark.parametrize(
    ("query", "count"),
    [("state=fresh", 239), ("state=due", 5), ("state=stale", 6), ("state=odd", 250), ("q=player:nba:p24", 10)],
)
def test_filters_and_search(query: str, count: int, entries: list[str], browse: Callable[[str], Client]) -> None:
    page = browse("Viewer").get(f"{LIST}?{query}").content.decode()
    assert f"{count} cache entries" in page


def test_filters_and_search_begin_at_the_first_page(entries: list[str], browse: Callable[[str], Client]) -> None:
    client = browse("Viewer")
    page = client.get(LIST + (link(client.get(LIST).content.decode(), "Older") or "")).content.decode()
    others = [address for address in re.findall(r'href="(\?[^"]*)"', page) if "cache_type" in address]
    assert others and not [address for address in others if "older=" in address]
    assert 'name="older"' not in page


def test_back_beyond_the_newest_is_the_first_page(entries: list[str], browse: Callable[[str], Client]) -> None:
    newest = CacheEntry.objects.latest("pk").pk
    assert keys(browse("Viewer").get(f"{LIST}?newer={newest - 3}").content.decode()) == entries[:50]


@pytest.mark.parametrize("place", ["older=x", "newer=-1", f"older={'9' * 30}"])
def test_a_wrong_position_leads_to_the_first_page(
    place: str, entries: list[str], browse: Callable[[str], Client]
) -> None:
    answer = browse("Viewer").get(f"{LIST}?{place}", follow=True)
    assert keys(answer.content.decode()) == entries[:50]


def test_many_entries_are_estimated_and_never_all_read(
    entries: list[str], browse: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE portfolio_rationales")
    monkeypatch.setattr(keyset, "COUNTED_EXACTLY_AT_MOST", 200)
    client = browse("Viewer")
    with CaptureQueriesContext(connection) as queries:
        page = client.get(LIST).content.decode()
    assert "about 250 cache entries" in page
    statements = [query["sql"] for query in queries if "portfolio_rationales" in query["sql"]]
    assert not [statement for statement in statements if "DISTINCT" in statement]
    assert all("LIMIT" in statement or "EXPLAIN" in statement for statement in statements)


def test_each_type_has_its_picture_and_describes_it_in_words(season: None, browse: Callable[[str], Client]) -> None:
    warm.warm(operations.find_targets(), actor=SYSTEM)
    client = browse("Viewer")
    descriptions = {
        "correlation:nba:points:v1": "Correlations of points. C: rebounds +0.",
        "factor:nhl:model:v1.5": "Factor model. factor 1,",
        "player:nba:lebron-james:v1": "LeBron James, over 10 games. points ",
        "correlation:nfl:sacks:v1": "receptions not measured",
    }
    for key, words in descriptions.items():
        entry = CacheEntry.objects.get(cache_key=key)
        page = client.get(f"{LIST}{entry.pk}/change/").content.decode()
        [(label, drawing)] = re.findall(r'<svg viewBox="[^"]+" role="img" aria-label="([^"]+)">(.*?)</svg>', page)
        assert words in label
        assert "nan" not in drawing
        assert entry.narrative in page
        path = key.rpartition(":")[0].replace(":", "/")
        assert f"/api/v1/derived/{path}" in page


@pytest.mark.parametrize("payload", ['{"player": "A"}', "[]", "{", '{"player": 5, "games": 1, "projections": [{}]}'])
def test_a_payload_of_another_form_is_not_drawn(
    payload: str, entries: list[str], browse: Callable[[str], Client]
) -> None:
    CacheEntry.objects.update(data_json=payload)
    page = browse("Viewer").get(f"{LIST}{CacheEntry.objects.latest('pk').pk}/change/").content.decode()
    assert "It cannot be drawn" in page


def test_markup_in_a_payload_stays_text() -> None:
    evil = '"><script>alert(1)</script>'
    pair = Pair(evil, 0.5, 0.4, 0.6, 50)
    projection = Projection(evil, 1.0, 1.0, 0.1, [1.0])
    drawings = [
        heat_map(CorrelationPayload(evil, "stub", [PositionGroup(evil, 50, [pair])])),
        bars(FactorPayload("stub", 50, [evil], [0.5], [[0.5]])),
        ranges(PlayerPayload(player=evil, source="stub", games=50, projections=[projection])),
    ]
    for drawing in drawings:
        assert "&lt;script&gt;" in drawing
        assert "<script" not in drawing


def test_the_page_of_an_entry_shows_that_its_refresh_failed(season: None, browse: Callable[[str], Client]) -> None:
    warm.warm(operations.find_targets(), actor=SYSTEM)
    CacheTarget.objects.update(last_error="no game of NBA")
    page = browse("Viewer").get(f"{LIST}{CacheEntry.objects.latest('pk').pk}/change/").content.decode()
    assert "The last computation failed; this is the previous value: no game of NBA" in page


def test_hit_rates_are_shown_per_type_and_tier(db: None, browse: Callable[[str], Client]) -> None:
    for tier, lookups in (("l1", 900), ("l2", 50), ("l3", 25), ("miss", 25), ("corrupt", 3)):
        CacheLookup.objects.create(kind="player", tier=tier, lookups=lookups)
    page = re.sub(r"\s+", " ", browse("Viewer").get(LIST).content.decode())
    assert "<td>1,000</td><td>97.5%</td><td>90.0%</td><td>5.0%</td><td>2.5%</td>" in page
    metrics = Client().get("/metrics").content.decode()
    assert 'slipway_cache_lookups_total{tier="l1",type="player"} 900.0' in metrics
    assert 'slipway_cache_lookups_total{tier="corrupt",type="player"} 3.0' in metrics
    assert "slipway_cache_hit_ratio" not in metrics, "Prometheus divides by itself"


def test_stale_entries_are_counted_for_prometheus(entries: list[str]) -> None:
    CacheEntry.objects.update(soft_expires_at=Now(), expires_at=Now())
    assert 'slipway_cache_entries{state="stale",type="player"} 250.0' in Client().get("/metrics").content.decode()
