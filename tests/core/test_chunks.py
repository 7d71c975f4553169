"""A stream is taken in lists of bounded length, which together are the stream."""

from collections.abc import Iterator
from itertools import count, islice

from hypothesis import given
from hypothesis import strategies as st

from core.chunks import chunks


@given(st.lists(st.integers()), st.integers(min_value=1, max_value=20))
def test_the_chunks_are_the_input_in_lists_of_bounded_length(items: list[int], size: int) -> None:
    lists = list(chunks(iter(items), size))
    assert [item for each in lists for item in each] == items
    assert all(len(each) == size for each in lists[:-1])
    assert all(0 < len(each) <= size for each in lists)


def test_no_item_is_read_before_it_is_needed() -> None:
    read: list[int] = []

    def endless() -> Iterator[int]:
        for number in count():
            read.append(number)
            yield number

    assert list(islice(chunks(endless(), 3), 2)) == [[0, 1, 2], [3, 4, 5]]
    assert read == [0, 1, 2, 3, 4, 5]
