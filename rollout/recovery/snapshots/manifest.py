"""What a snapshot says of itself: written last, so that a half-written one is never taken for one."""

import hashlib
import os
from pathlib import Path
from typing import Self

import msgspec

from core.errors import SlipwayError

FORMAT = 2
FILE = "manifest.json"
CHUNK = 1 << 20  # bytes


class Unusable(SlipwayError):
    """This is no snapshot that can be used."""


class Table(msgspec.Struct, frozen=True):
    """columns: names and types, in the order of the file. bytes and sha256: of the file as it lies there. content: hash
    of the rows as the database computes it, of the columns that last.
    """

    model: str
    table: str
    file: str
    columns: dict[str, str]
    lasting: list[str]
    rows: int
    bytes: int
    sha256: str
    content: str


class Manifest(msgspec.Struct, frozen=True):
    """schema: the last migration of each app. made_at: ISO 8601, of the database's clock."""

    format: int
    project: str
    name: str
    host: str
    made_at: str
    schema: dict[str, str]
    tables: list[Table]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises Unusable."""
        try:
            found = msgspec.json.decode((folder / FILE).read_bytes(), type=cls)
        except FileNotFoundError:
            raise Unusable(f"{folder} holds no whole snapshot", "take another one: manage.py snapshot list") from None
        except OSError as error:
            raise Unusable(f"{folder} cannot be read: {error.strerror}", "see who owns it") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unusable(f"the manifest in {folder} was altered: {error}", "take another snapshot") from error
        if (found.project, found.format) != ("slipway", FORMAT):
            raise Unusable(f"{folder} is of another project or format", "take one that this release made")
        return found

    def write(self, folder: Path) -> None:
        """Whole or not at all."""
        draft = folder / f".{FILE}"
        with draft.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(self)))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(folder / FILE)
        sync(folder)


def check(folder: Path, table: Table) -> None:
    """Raises Unusable for a file that was cut or altered."""
    digest, size = hashlib.sha256(), 0
    try:
        with (folder / table.file).open("rb") as raw:
            while block := raw.read(CHUNK):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise Unusable(f"{table.file} of {folder.name} cannot be read: {error.strerror}", "take another one") from error
    if (size, digest.hexdigest()) != (table.bytes, table.sha256):
        what = "cut" if size < table.bytes else "altered"
        raise Unusable(f"{table.file} of {folder.name} was {what}", "take another one: manage.py snapshot list")


def sync(folder: Path) -> None:
    """What was renamed or made in it outlives a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
