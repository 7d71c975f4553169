"""The difference between a snapshot's rows and a table's rows.

Both come in COPY's text format, in the order of their keys.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import Enum

# The escapes of COPY's text format, except for those of a character by itself.
ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


class RowChange(Enum):
    """A change that makes a row of the table equal to the snapshot's."""

    ADD = "added"
    CHANGE = "changed"
    REMOVE = "removed"


@dataclass(frozen=True, slots=True)
class RowLayout:
    """The positions of the columns in a row, counted from 0.

    key: the position of the primary key in a row of the table.
    is_number: the key is a number.
    kept: the positions, in the snapshot's row, of the columns that the table still has, in the order of the table's
        rows; None if it is every column in the same order.
    compared: the positions, in a row of the table, of the columns whose values count.
    """

    key: int
    is_number: bool
    kept: tuple[int, ...] | None
    compared: tuple[int, ...]

    def project(self, row: bytes) -> bytes:
        """Return the snapshot's row with the columns of the table's rows."""
        if self.kept is None:
            return row
        fields = row.rstrip(b"\n").split(b"\t")
        return b"\t".join([fields[position] for position in self.kept]) + b"\n"

    def key_of(self, row: bytes) -> int | bytes:
        """Return the key by which the rows are ordered: a number, or the bytes of a text."""
        text = row.split(b"\t", self.key + 1)[self.key].rstrip(b"\n")
        if self.is_number:
            return int(text)
        return ESCAPED.sub(_unescape, text) if b"\\" in text else text

    def has_equal_values(self, row: bytes, other: bytes) -> bool:
        """Return whether two rows have equal values in the columns that count."""
        if row == other:
            return True
        fields, other_fields = row.rstrip(b"\n").split(b"\t"), other.rstrip(b"\n").split(b"\t")
        return all(fields[position] == other_fields[position] for position in self.compared)


def _unescape(match: re.Match[bytes]) -> bytes:
    return ESCAPES.get(match[1], match[1])


def compare_rows(
    snapshot_rows: Iterable[bytes], table_rows: Iterable[bytes], layout: RowLayout
) -> Iterator[tuple[RowChange, bytes]]:
    """Yield each change that makes the table equal to the snapshot, with its row.

    The row of an addition or a change is the snapshot's; that of a removal is the table's.
    """
    remaining = iter(table_rows)
    present = next(remaining, None)
    for snapshot_row in snapshot_rows:
        expected = layout.project(snapshot_row)
        if expected == present:  # true for most rows, and faster than a comparison of keys
            present = next(remaining, None)
            continue
        key = layout.key_of(expected)
        while present is not None and layout.key_of(present) < key:  # type: ignore[operator]
            yield RowChange.REMOVE, present
            present = next(remaining, None)
        if present is None or layout.key_of(present) != key:
            yield RowChange.ADD, expected
            continue
        if not layout.has_equal_values(expected, present):
            yield RowChange.CHANGE, expected
        present = next(remaining, None)
    while present is not None:
        yield RowChange.REMOVE, present
        present = next(remaining, None)


@dataclass(slots=True)
class ChangeCounts:
    """The numbers of rows that a restore adds, changes and removes."""

    added: int = 0
    changed: int = 0
    removed: int = 0

    @property
    def total(self) -> int:
        return self.added + self.changed + self.removed

    def count(self, change: RowChange) -> None:
        """Count one more row with this change."""
        match change:
            case RowChange.ADD:
                self.added += 1
            case RowChange.CHANGE:
                self.changed += 1
            case RowChange.REMOVE:
                self.removed += 1

    def as_dict(self) -> dict[str, int]:
        """Return the numbers as they are stored in a step's evidence and printed as JSON."""
        return asdict(self)
