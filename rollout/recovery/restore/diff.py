"""In what the rows of a table differ from those of a snapshot: both as COPY writes them, in the order of their keys."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}  # COPY's text format
ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


class Change(Enum):
    """What makes a table's row the snapshot's."""

    ADD = "added"
    CHANGE = "changed"
    REMOVE = "removed"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie in a row, counted from 0. kept: of the snapshot's row, the columns that the table still has, in
    the order in which the table's rows come. lasting: of those, what is compared. is_number: the key is one.
    """

    key: int
    is_number: bool
    kept: tuple[int, ...] | None  # None: all, in their order
    lasting: tuple[int, ...]

    def project(self, line: bytes) -> bytes:
        """The snapshot's row as the table would have it."""
        if self.kept is None:
            return line
        fields = line.rstrip(b"\n").split(b"\t")
        return b"\t".join([fields[at] for at in self.kept]) + b"\n"

    def key_of(self, line: bytes) -> Any:
        """As the rows are ordered: by number, or by the text's bytes."""
        said = line.split(b"\t", self.key + 1)[self.key].rstrip(b"\n")
        if self.is_number:
            return int(said)
        return ESCAPED.sub(lambda found: ESCAPES.get(found[1], found[1]), said) if b"\\" in said else said

    def is_same(self, one: bytes, other: bytes) -> bool:
        if one == other:
            return True
        ours, theirs = one.rstrip(b"\n").split(b"\t"), other.rstrip(b"\n").split(b"\t")
        return all(ours[at] == theirs[at] for at in self.lasting)


def differences(wanted: Iterable[bytes], found: Iterable[bytes], layout: Layout) -> Iterator[tuple[Change, bytes]]:
    """wanted: the snapshot's rows. found: the table's. Each change with its row, a removed one with the table's."""
    theirs = iter(found)
    other = next(theirs, None)
    for raw in wanted:
        line = layout.project(raw)
        if line == other:  # most of them
            other = next(theirs, None)
            continue
        key = layout.key_of(line)
        while other is not None and layout.key_of(other) < key:
            yield Change.REMOVE, other
            other = next(theirs, None)
        if other is None or layout.key_of(other) != key:
            yield Change.ADD, line
            continue
        if not layout.is_same(line, other):
            yield Change.CHANGE, line
        other = next(theirs, None)
    while other is not None:
        yield Change.REMOVE, other
        other = next(theirs, None)


@dataclass(slots=True)
class Counts:
    added: int = 0
    changed: int = 0
    removed: int = 0

    @property
    def all(self) -> int:
        return self.added + self.changed + self.removed

    def count(self, change: Change) -> None:
        setattr(self, change.value, getattr(self, change.value) + 1)

    def document(self) -> dict[str, int]:
        return {change.value: getattr(self, change.value) for change in Change}
