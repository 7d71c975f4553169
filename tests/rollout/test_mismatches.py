"""What is kept of answers that differ."""

from rollout.gate import mismatches

NAME = "derived-data"


def test_mismatches_are_few_short_and_without_secrets() -> None:
    for number in range(120):
        mismatches.keep(NAME, f"https://host/?apiKey=secret{number}", "x" * 1000)
    found = mismatches.kept(NAME)
    assert len(found) == 100
    assert found[0] == ("'https://host/?apiKey=***'", f"'{'x' * 499}…")
