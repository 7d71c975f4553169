"""The bucket of a targeting key, and the arm that a stage serves it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.choices import Stage
from rollout.decisions.stages import Arm, Lines, Serving, serving_at
from rollout.gate.bucketing import bucket

ANY_TEXT = st.text(st.characters(codec=None))


@given(ANY_TEXT, ANY_TEXT)
def test_a_key_has_one_bucket(rollout: str, key: str) -> None:
    assert 0 <= bucket(rollout, key) < 100
    assert bucket(rollout, key) == bucket(rollout, key)


def test_the_hash_is_the_published_one() -> None:
    # MurmurHash3_x86_32 of "a:b", seed 0, by the reference implementation
    assert bucket("a", "b") == pytest.approx(2_722_392_131 * 100 / 2**32)


def test_shares_are_even_and_only_grow() -> None:
    buckets = [bucket("derived-data", f"user-{number}") for number in range(20_000)]
    served = [{number for number, each in enumerate(buckets) if each < percent} for percent in (10, 25, 50, 100)]
    assert [len(keys) / 20_000 for keys in served] == pytest.approx([0.10, 0.25, 0.50, 1.0], abs=0.01)
    assert all(fewer <= more for fewer, more in pairwise(served))


def test_each_rollout_has_other_early_keys() -> None:
    early = [{n for n in range(5000) if bucket(rollout, f"user-{n}") < 10} for rollout in ("one", "other")]
    assert len(early[0] & early[1]) < 100


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (Stage.DISABLED, Serving()),
        (Stage.DARK_MODE, Serving(probes=True)),
        (Stage.SHADOW_MODE, Serving(shadows=True)),
        (Stage.PARTIAL_ACTIVE, Serving(percent=25, lines=Lines.PRIORITY)),
        (Stage.FULL_ACTIVE, Serving(percent=100, lines=Lines.ALL)),
    ],
)
def test_each_stage_serves_in_its_way(stage: Stage, expected: Serving) -> None:
    assert serving_at(stage, 25) == expected


def test_the_share_divides_the_arms() -> None:
    partial = serving_at(Stage.PARTIAL_ACTIVE, 25)
    assert [partial.arm(each) for each in (0.0, 24.99, 25.0, 99.9)] == [Arm.CANDIDATE] * 2 + [Arm.CONTROL] * 2
    assert serving_at(Stage.FULL_ACTIVE, 25).arm(99.999) is Arm.CANDIDATE
    assert serving_at(Stage.SHADOW_MODE, 25).arm(0.0) is Arm.CONTROL
