"""The stub feed's season, read page by page over HTTP."""

import http.client
from collections.abc import Iterator
from urllib.parse import urlencode

import msgspec

from core.errors import SlipwayError
from core.http.client import connection_to
from providers.gamelogs.box_score import Log
from providers.gamelogs.csv_rows import NumberedLog
from providers.upstream.caller import MAX_BYTES

TIMEOUT_SECONDS = 30


class GameLogPage(msgspec.Struct):
    """An answer of the stub feed. `next_page` is None on the last page."""

    logs: list[Log]
    next_page: int | None


def read_stub(url: str, sport: str) -> Iterator[NumberedLog]:
    """Yield the season's game logs, numbered from 1. Raises SlipwayError if the feed does not answer as it should."""
    page: int | None = 1
    number = 0
    while page is not None:
        answer = _fetch_page(url, f"/stub/v1/gamelogs?{urlencode({'sport': sport, 'page': page})}")
        for log in answer.logs:
            number += 1
            yield number, log
        is_later = answer.next_page is not None and answer.next_page > page  # a feed that goes back would never end
        page = answer.next_page if is_later else None


def _fetch_page(url: str, path: str) -> GameLogPage:
    connection = connection_to(url, TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(MAX_BYTES)
        if response.status != 200:
            raise SlipwayError(
                f"cannot read the stub feed at {url}: it answers HTTP {response.status}", "look at the feed's output"
            )
        return msgspec.json.decode(body, type=GameLogPage)
    except (OSError, http.client.HTTPException) as error:
        raise SlipwayError(
            f"cannot read the stub feed at {url}: it does not answer ({error})", "start it: manage.py stub_feed"
        ) from error
    except msgspec.MsgspecError as error:
        raise SlipwayError(
            f"cannot read the stub feed at {url}: its answer is not a page of game logs ({error})",
            "start the stub feed of this release: manage.py stub_feed",
        ) from error
    finally:
        connection.close()
