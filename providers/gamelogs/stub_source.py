"""The stub feed's season, page by page over HTTP."""

import http.client
from collections.abc import Iterator
from urllib.parse import urlencode

import msgspec

from core.errors import SlipwayError
from core.http.client import connection_to
from providers.gamelogs.files import Item
from providers.gamelogs.rows import Log
from providers.polling.caller import MAX_BYTES

TIMEOUT_SECONDS = 30


class Page(msgspec.Struct):
    logs: list[Log]
    next_page: int | None


def read_stub(url: str, sport: str) -> Iterator[Item]:
    """Raises SlipwayError where the feed does not answer as it should."""
    page: int | None = 1
    number = 0
    while page is not None:
        answer = _get(url, f"/stub/v1/gamelogs?{urlencode({'sport': sport, 'page': page})}")
        for log in answer.logs:
            number += 1
            yield number, log
        page = answer.next_page if answer.next_page is None or answer.next_page > page else None


def _get(url: str, path: str) -> Page:
    connection = connection_to(url, TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(MAX_BYTES)
        if response.status != 200:
            raise SlipwayError(f"the stub feed answers HTTP {response.status}", "look at its log")
        return msgspec.json.decode(body, type=Page)
    except (OSError, http.client.HTTPException) as error:
        raise SlipwayError(
            f"the stub feed at {url} does not answer: {error}", "start it: manage.py stub_feed"
        ) from error
    except msgspec.MsgspecError as error:
        raise SlipwayError(f"the stub feed's answer cannot be read: {error}", "is it the same version?") from error
    finally:
        connection.close()
