"""The stored values in which the candidate differed from control."""

from rollout.gate import mismatches

NAME = "derived-data"


def test_mismatches_are_few_and_short_and_have_no_secrets() -> None:
    for number in range(120):
        mismatches.record_mismatch(NAME, f"https://host/?apiKey=secret{number}", "x" * 1000)
    stored = mismatches.read_mismatches(NAME)
    assert len(stored) == 100
    assert stored[0] == ("'https://host/?apiKey=***'", f"'{'x' * 499}…")
