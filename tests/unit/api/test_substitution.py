"""Legacy substitutions in a subject."""

import pytest

from api.substitution import substitute


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("Hello -name-", {"-name-": "Ada"}, "Hello Ada"),
        ("Hello -name-", {"-other-": "x", "": "y"}, "Hello -name-"),
        ("-a- -b- -a-", {"-a-": "-b-", "-b-": "-a-"}, "-b- -a- -b-"),  # a value is text, not another key
        ("-name-s", {"-name-": "short", "-name-s": "long"}, "long"),
        ("a.b|c", {"a.b": "1", "|": "2", "x": "3"}, "12c"),  # keys are literal
        ("aaa", {"aa": "b"}, "ba"),
    ],
)
def test_keys_become_values_in_one_pass(text: str, values: dict[str, str], expected: str) -> None:
    assert substitute(text, values) == expected
