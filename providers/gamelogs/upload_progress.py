"""The progress of an upload's import. It is in Redis, because the import's transaction shows nothing before its end."""

from contextlib import suppress
from dataclasses import dataclass

import redis

from core.redis import client, key
from providers.choices import ImportState
from providers.models import GameLogUpload

KEPT_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """The good rows that were read so far, and the share of the file's bytes, 0 to 1."""

    rows: int
    share: float


def report_progress(upload: GameLogUpload, rows: int, read_bytes: int) -> None:
    """Publish how far the import is. Without Redis nothing is published, and the import goes on."""
    share = read_bytes / max(1, upload.size_bytes)
    with suppress(redis.RedisError):
        client().set(_key(upload), f"{rows} {share:.4f}", ex=KEPT_SECONDS)


def read_progress(upload: GameLogUpload) -> UploadProgress | None:
    """Return how far the import is, or None if no import runs or Redis does not answer."""
    if upload.state != ImportState.WAITING:
        return None
    with suppress(redis.RedisError):
        published = client().get(_key(upload))
        if isinstance(published, bytes):
            rows, share = published.split()
            return UploadProgress(int(rows), float(share))
    return None


def _key(upload: GameLogUpload) -> str:
    return key(f"import:{upload.pk}")
