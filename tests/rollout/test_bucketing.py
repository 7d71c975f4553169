"""A targeting key's place, and what a stage makes of it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.choices import Stage
from rollout.decisions.stages import Arm, Lines, Serves, serves
from rollout.gate.bucketing import bucket

ANY_TEXT = st.text(st.characters(codec=None))


@given(ANY_TEXT, ANY_TEXT)
def test_a_key_has_one_place(rollout: str, key: str) -> None:
    assert 0 <= bucket(rollout, key) < 100
    assert bucket(rollout, key) == bucket(rollout, key)


def test_the_hash_is_the_published_one() -> None:
    # MurmurHash3_x86_32 of "a:b", seed 0, by the reference implementation
    assert bucket("a", "b") == pytest.approx(2_722_392_131 * 100 / 2**32)


def test_shares_are_even_and_only_grow() -> None:
    places = [bucket("derived-data", f"user-{number}") for number in range(20_000)]
    served = [{number for number, place in enumerate(places) if place < percent} for percent in (10, 25, 50, 100)]
    assert [len(keys) / 20_000 for keys in served] == pytest.approx([0.10, 0.25, 0.50, 1.0], abs=0.01)
    assert all(fewer <= more for fewer, more in pairwise(served))


def test_rollouts_have_early_keys_of_their_own() -> None:
    early = [{n for n in range(5000) if bucket(rollout, f"user-{n}") < 10} for rollout in ("one", "other")]
    assert len(early[0] & early[1]) < 100


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (Stage.DISABLED, Serves()),
        (Stage.DARK_MODE, Serves(probes=True)),
        (Stage.SHADOW_MODE, Serves(shadows=True)),
        (Stage.PARTIAL_ACTIVE, Serves(percent=25, lines=Lines.PRIORITY)),
        (Stage.FULL_ACTIVE, Serves(percent=100, lines=Lines.ALL)),
    ],
)
def test_what_each_stage_serves(stage: Stage, expected: Serves) -> None:
    assert serves(stage, 25) == expected


def test_the_line_between_the_arms() -> None:
    partial = serves(Stage.PARTIAL_ACTIVE, 25)
    assert [partial.arm(place) for place in (0.0, 24.99, 25.0, 99.9)] == [Arm.CANDIDATE] * 2 + [Arm.CONTROL] * 2
    assert serves(Stage.FULL_ACTIVE, 25).arm(99.999) is Arm.CANDIDATE
    assert serves(Stage.SHADOW_MODE, 25).arm(0.0) is Arm.CONTROL
