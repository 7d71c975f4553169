"""Measure the admin's list of 1,000,000 entries, the first page and a deep one, against a stock ModelAdmin.

make bench, or .venv/bin/python bench/admin.py
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._ground import database, fill_entries

ROWS, ROUNDS = 1_000_000, 7


def main() -> None:
    with database():
        from django.conf import settings
        from django.contrib import admin
        from django.contrib.auth.models import User
        from django.test import Client, RequestFactory

        from caching.models import CacheEntry

        settings.ALLOWED_HOSTS = ["testserver"]
        settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
        fill_entries(ROWS, "-1 hour")
        user = User.objects.create_superuser("bench")
        client = Client()
        client.force_login(user)

        class Stock(admin.ModelAdmin):  # type: ignore[type-arg]
            list_display = ["cache_key", "cache_type", "narrative", "confidence", "sample_size", "expires_at"]
            list_filter = ["cache_type", "sport", "is_flagged"]
            search_fields = ["cache_key"]
            list_per_page = 50  # the same as Slipway's list
            ordering = ["-pk"]

        stock = Stock(CacheEntry, admin.AdminSite())

        def slipway(query: str) -> Callable[[], Any]:
            return lambda: client.get(f"/admin/caching/cacheentry/{query}")

        def peer(query: str) -> Callable[[], Any]:
            def get() -> Any:
                request = RequestFactory().get(f"/{query}")
                request.user = user
                return stock.changelist_view(request).render()  # type: ignore[attr-defined]

            return get

        middle = CacheEntry.objects.order_by("pk")[ROWS // 2 : ROWS // 2 + 1].get().pk
        pages = {
            "first page": ("", ""),
            "a page in the middle": (f"?older={middle}", f"?p={ROWS // 200}"),
            "one sport": ("?sport=NBA", "?sport__exact=NBA"),
            "beginning of a key": ("?q=player:nba:player-99", "?q=player:nba:player-99"),
            "state: to be refreshed": ("?state=due", "?is_flagged__exact=1"),
        }
        for page, (query, peer_query) in pages.items():
            ms, peer_ms = median_ms(slipway(query)), median_ms(peer(peer_query))
            print(f"{page}: {ms:.0f} ms, stock ModelAdmin {peer_ms:.0f} ms, {peer_ms / ms:.1f} x")


def median_ms(get: Callable[[], Any]) -> float:
    durations_ms = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        answer = get()
        durations_ms.append((time.perf_counter() - start) * 1000)
        assert answer.status_code == 200, answer
    return statistics.median(durations_ms)


if __name__ == "__main__":
    main()
