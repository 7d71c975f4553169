"""The manifest of a snapshot. It is written last, so that a snapshot that was not finished has none."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

import msgspec

from core.errors import SlipwayError
from rollout.recovery.snapshots.compression import BLOCK_BYTES

PROJECT = "slipway"
FORMAT_VERSION = 2
MANIFEST_FILE = "manifest.json"
CHOOSE_ANOTHER = "choose another snapshot, run: manage.py snapshot list"


class UnusableSnapshot(SlipwayError):
    """The snapshot is missing, incomplete, damaged or made for another installation."""


class TableFile(msgspec.Struct, frozen=True):
    """A table of a snapshot and its file, which holds the rows in COPY's text format, compressed with zstd."""

    model: str
    table: str
    file: str
    columns: dict[str, str]  # names and types, in the order of the file
    lasting: list[str]  # the columns that do not change by themselves
    rows: int
    size_bytes: int = msgspec.field(name="bytes")  # of the compressed file
    sha256: str  # of the compressed file
    content: str  # the content hash of the rows, as the database computes it, over the lasting columns


class Manifest(msgspec.Struct, frozen=True):
    """The description of a snapshot, stored beside its files as JSON."""

    format: int
    project: str
    name: str
    host: str
    made_at: str  # ISO 8601, by the database's clock
    schema: dict[str, str]  # the last migration of each app that has protected tables
    tables: list[TableFile]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest in the folder. Raise UnusableSnapshot if it is missing, damaged or of another project."""
        path = folder / MANIFEST_FILE
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            raise UnusableSnapshot(
                f"cannot use {folder}: it holds no complete snapshot, {MANIFEST_FILE} is missing", CHOOSE_ANOTHER
            ) from None
        except OSError as error:
            raise UnusableSnapshot(
                f"cannot read {path}: {error.strerror}", f"check its owner and mode, run: ls -l {folder}"
            ) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnusableSnapshot(f"cannot use {path}: it was altered ({error})", CHOOSE_ANOTHER) from error
        if (manifest.project, manifest.format) != (PROJECT, FORMAT_VERSION):
            raise UnusableSnapshot(
                f"cannot use {folder}: it holds a snapshot of project {manifest.project}, format {manifest.format}; "
                f"this release reads project {PROJECT}, format {FORMAT_VERSION}",
                CHOOSE_ANOTHER,
            )
        return manifest

    def write(self, folder: Path) -> None:
        """Write the manifest into the folder, whole or not at all, so that it survives a power failure."""
        draft = folder / f".{MANIFEST_FILE}"
        with draft.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(self)))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(folder / MANIFEST_FILE)
        sync_folder(folder)


def verify_file(folder: Path, table: TableFile) -> None:
    """Compare the table's file with its size and SHA-256. Raise UnusableSnapshot if it was cut or altered."""
    digest, size_bytes = hashlib.sha256(), 0
    try:
        with (folder / table.file).open("rb") as file:
            for block in read_blocks(file):
                digest.update(block)
                size_bytes += len(block)
    except OSError as error:
        raise UnusableSnapshot(f"cannot read {folder / table.file}: {error.strerror}", CHOOSE_ANOTHER) from error
    if size_bytes < table.size_bytes:
        raise UnusableSnapshot(
            f"cannot use {table.file} of {folder.name}: it was cut to {size_bytes:,} of {table.size_bytes:,} bytes",
            CHOOSE_ANOTHER,
        )
    if (size_bytes, digest.hexdigest()) != (table.size_bytes, table.sha256):
        raise UnusableSnapshot(
            f"cannot use {table.file} of {folder.name}: it was altered, its SHA-256 is not the manifest's",
            CHOOSE_ANOTHER,
        )


def read_blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the rest of the file in blocks of at most BLOCK_BYTES."""
    while block := file.read(BLOCK_BYTES):
        yield block


def sync_folder(folder: Path) -> None:
    """Write the folder's entries to disk: a file that was made or renamed in it then survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
