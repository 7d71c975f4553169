"""The bytes of uploaded files, kept in the database in parts, so that no process holds a whole file."""

import io
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, cast

from core.errors import WrongInput
from providers.models import GameLogUpload, UploadedPart

PART_BYTES = 1024 * 1024


def store_parts(upload: GameLogUpload, kind: UploadedPart.Kind, pieces: Iterable[bytes], max_bytes: int) -> int:
    """Store a file of the upload in parts of PART_BYTES. Return its size in bytes.

    pieces: the file's bytes, in pieces of any length.
    Raises WrongInput if the file is larger than `max_bytes`.
    """
    size_bytes = 0
    for number, part in enumerate(_cut(pieces)):
        size_bytes += len(part)
        if size_bytes > max_bytes:
            raise WrongInput(
                f"cannot keep the file: it is larger than {max_bytes / 1024 / 1024:.0f} MiB",
                "import it on the server: manage.py import_game_logs",
            )
        UploadedPart.objects.create(upload=upload, kind=kind, number=number, content=part)
    return size_bytes


def _cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes in parts of PART_BYTES; the last part may be shorter."""
    rest = bytearray()
    for piece in pieces:
        rest += piece
        while len(rest) >= PART_BYTES:
            yield bytes(rest[:PART_BYTES])
            del rest[:PART_BYTES]
    if rest:
        yield bytes(rest)


class PartsStream(io.RawIOBase):
    """A file of an upload as a stream that holds one part at a time. `read_bytes` counts what was read of it."""

    def __init__(self, upload: GameLogUpload, kind: UploadedPart.Kind) -> None:
        self.read_bytes = 0
        self._parts = UploadedPart.objects.filter(upload=upload, kind=kind)
        self._next_number = 0
        self._rest = memoryview(b"")  # of the current part

    def exists(self) -> bool:
        """Return whether the upload has this file."""
        return self._parts.exists()

    def buffered(self) -> BinaryIO:
        """Return the stream with a buffer, as readers of files want it."""
        return cast(BinaryIO, io.BufferedReader(self))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            content = self._parts.filter(number=self._next_number).values_list("content", flat=True).first()
            if content is None:
                return 0
            self._next_number += 1
            self._rest = memoryview(content)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        self.read_bytes += size
        return size
