"""In what two tables differ, row by row."""

from hypothesis import given
from hypothesis import strategies as st

from rollout.recovery.restore.diff import Change, Layout, differences

KEYS = st.dictionaries(st.integers(-5, 30), st.sampled_from([b"a", b"b", b"c"]), max_size=20)


def rows(of: dict[int, bytes], volatile: bytes) -> list[bytes]:
    return [b"%d\t%b\t%b\n" % (key, value, volatile) for key, value in sorted(of.items())]


@given(wanted=KEYS, found=KEYS)
def test_differences_make_one_the_other(wanted: dict[int, bytes], found: dict[int, bytes]) -> None:
    layout = Layout(key=0, is_number=True, kept=None, lasting=(0, 1))
    now = dict(found)
    for change, line in differences(rows(wanted, b"x"), rows(found, b"y"), layout):
        key, value, _ = line.split(b"\t")
        if change is Change.REMOVE:
            del now[int(key)]
        else:
            assert (int(key) in now) == (change is Change.CHANGE)
            now[int(key)] = value
    assert now == wanted


@given(st.sets(st.text(alphabet="ab\t\\\né", min_size=1, max_size=3), max_size=8))
def test_text_keys_are_in_the_order_of_their_bytes(names: set[str]) -> None:
    def line(name: str) -> bytes:
        escaped = name.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
        return f"{escaped}\tv\n".encode()

    layout = Layout(key=0, is_number=False, kept=None, lasting=(0, 1))
    ordered = sorted(names, key=str.encode)
    lines = [line(name) for name in ordered]
    assert list(differences(lines, lines, layout)) == []
    assert [change for change, _ in differences(lines, [], layout)] == [Change.ADD] * len(lines)
    assert [change for change, _ in differences(lines[::2], lines, layout)] == [Change.REMOVE] * (len(lines) // 2)
