"""The compressed files of a snapshot: what is read back, and what a damaged one raises."""

import io

import pytest

from rollout.recovery.snapshots.compression import UNREADABLE, compressing, decompressing

ROWS = b"".join(b"%d\tNBA\t0.5\n" % number for number in range(2000))


def compressed(*parts: bytes) -> bytes:
    file = io.BytesIO()
    with compressing(file) as writer:
        for part in parts:
            writer.write(part)
    return file.getvalue()


def test_the_rows_come_back_line_by_line() -> None:
    assert b"".join(decompressing(io.BytesIO(compressed(ROWS)))) == ROWS


def test_a_table_without_rows_is_a_file_without_content() -> None:
    assert decompressing(io.BytesIO(compressed())).read() == b""


@pytest.mark.parametrize("kept", [0, 1, 5, -1])
def test_a_file_that_was_cut_is_unreadable(kept: int) -> None:
    with pytest.raises(UNREADABLE):
        decompressing(io.BytesIO(compressed(ROWS)[:kept])).read()


def test_a_file_of_another_kind_is_unreadable() -> None:
    with pytest.raises(UNREADABLE):
        decompressing(io.BytesIO(ROWS)).read()
