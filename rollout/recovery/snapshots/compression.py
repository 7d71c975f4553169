"""The compression of a table's file: zstd, from the standard library if the Python has it."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# zstd's fastest standard level: for these rows its files are no larger than the default level's, in half the time.
LEVEL = 1
BLOCK_BYTES = 1 << 20  # read from a file at a time
UNREADABLE = (zstd.ZstdError, EOFError)  # the file was altered, or it was cut


@contextmanager
def compressing(file: Any) -> Iterator[zstd.ZstdFile]:
    """Yield a file that compresses what is written to it into `file`, which stays open.

    file: any object with a `write` method.
    """
    with zstd.ZstdFile(file, mode="w", level=LEVEL) as compressed:
        compressed.write(b"")  # so that an empty table is a frame without content: a file of no bytes was cut
        yield compressed


def decompressing(file: BinaryIO) -> io.BufferedReader:
    """Return a reader of the decompressed content. Its methods raise one of UNREADABLE for a damaged file."""
    return io.BufferedReader(zstd.ZstdFile(file), BLOCK_BYTES)
