"""Long lists are refused by name before they are decoded, whatever the strings contain."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.send.large import crowding
from api.send.large.crowding import crowded

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture(autouse=True)
def looks_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowding, "FEW_VALUES", -1)


def field_of(body: Any) -> str | None:
    fault = crowded(body if isinstance(body, bytes) else json.dumps(body).encode())
    return None if fault is None else fault.field


@pytest.mark.parametrize("count", [1000, 1001])
def test_the_lists_that_have_a_limit(count: int) -> None:
    one = {"to": [{"email": "a"}]}
    too_many = count > 1000
    assert field_of({"personalizations": [one] * count}) == ("personalizations" if too_many else None)
    for name in ("to", "cc", "bcc"):
        body = {"x": "]}", "personalizations": [one, {"subject": 'a"[', name: [{"email": "a,b"}] * count}]}
        assert field_of(body) == ("personalizations[1]" if too_many else None)


def test_other_lists_have_that_of_all_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowding, "MOST_VALUES", 3000)
    assert field_of({"custom_args": {"to": [[]] * 1400}}) is None
    assert field_of({"custom_args": {"to": [[]] * 1600}}) == "custom_args.to"


@given(JSON)
def test_what_is_short_passes(value: Any) -> None:
    assert crowded(json.dumps(value).encode()) is None


@given(st.binary())
def test_what_is_no_json_is_the_decoders_to_refuse(body: bytes) -> None:
    assert crowded(body) is None
