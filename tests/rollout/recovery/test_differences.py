"""The row by row comparison of a snapshot's rows with a table's rows."""

from hypothesis import given
from hypothesis import strategies as st

from rollout.recovery.restore.diff import RowChange, RowLayout, compare_rows

VALUES_BY_KEY = st.dictionaries(st.integers(-5, 30), st.sampled_from([b"a", b"b", b"c"]), max_size=20)


def rows(values: dict[int, bytes], volatile: bytes) -> list[bytes]:
    return [b"%d\t%b\t%b\n" % (key, value, volatile) for key, value in sorted(values.items())]


@given(wanted=VALUES_BY_KEY, present=VALUES_BY_KEY)
def test_the_changes_make_one_table_equal_to_the_other(wanted: dict[int, bytes], present: dict[int, bytes]) -> None:
    layout = RowLayout(key=0, is_number=True, kept=None, compared=(0, 1))
    result = dict(present)
    for change, row in compare_rows(rows(wanted, b"x"), rows(present, b"y"), layout):
        key, value, _ = row.split(b"\t")
        if change is RowChange.REMOVE:
            del result[int(key)]
        else:
            assert (int(key) in result) == (change is RowChange.CHANGE)
            result[int(key)] = value
    assert result == wanted


@given(st.sets(st.text(alphabet="ab\t\\\né", min_size=1, max_size=3), max_size=8))
def test_text_keys_are_ordered_by_their_bytes(names: set[str]) -> None:
    def row(name: str) -> bytes:
        escaped = name.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
        return f"{escaped}\tv\n".encode()

    layout = RowLayout(key=0, is_number=False, kept=None, compared=(0, 1))
    all_rows = [row(name) for name in sorted(names, key=str.encode)]
    assert list(compare_rows(all_rows, all_rows, layout)) == []
    additions = [RowChange.ADD] * len(all_rows)
    assert [change for change, _ in compare_rows(all_rows, [], layout)] == additions
    removals = [RowChange.REMOVE] * (len(all_rows) // 2)
    assert [change for change, _ in compare_rows(all_rows[::2], all_rows, layout)] == removals
