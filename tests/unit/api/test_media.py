"""What a client accepts."""

import pytest

from api.http.media import accepted


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        ("text/csv", {"text/csv": 1.0}),
        ("Text/CSV; header=present ;Q=0.5, application/json", {"text/csv": 0.5, "application/json": 1.0}),
        ("text/csv;q=0, text/html;q=0.0", {}),
        ("text/csv; q=much, text/html;q=nan", {}),
        ("text/csv;q=7", {"text/csv": 1.0}),
        ("text/csv;q", {}),
    ],
)
def test_types_have_weights(given: str, weights: dict[str, float]) -> None:
    scope = {"type": "http", "headers": [(b"accept", given.encode())]}
    assert accepted(scope) == weights  # type: ignore[arg-type]


def test_a_client_that_names_nothing_accepts_nothing_in_particular() -> None:
    assert "text/csv" not in accepted({"type": "http", "headers": []})  # type: ignore[arg-type]
