"""Secrets are replaced in texts: values of settings and of the environment, and values in the place of a secret."""

import pytest

from core.redaction import hiding, redact


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("GET /odds?apiKey=abc&regions=us", "GET /odds?apiKey=***&regions=us"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("postgres://slipway:abc@db/slipway", "postgres://slipway:***@db/slipway"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_a_value_in_the_place_of_a_secret_is_replaced(text: str, redacted: str) -> None:
    assert redact(text) == redacted


def test_given_values_and_keys_of_the_environment_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUBBORN_API_KEY", "of-the-feed")
    with hiding(["of-the-mail", "short"]):
        assert redact("of-the-mail, of-the-feed, short") == "***, ***, short"
    assert redact("of-the-mail, of-the-feed, short") == "of-the-mail, of-the-feed, short"
