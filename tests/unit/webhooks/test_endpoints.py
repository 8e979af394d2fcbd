"""What is shown of an endpoint's URL, and what it may be called."""

import pytest

from api.http.refusals import Faults
from api.webhooks.checking import check_name
from cluster.webhooks.endpoints import origin


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example.com/secret?token=1", "https://hooks.example.com"),
        ("http://user:password@hooks.example.com:8080/", "http://hooks.example.com:8080"),
        ("https://[2001:db8::1]:444/x", "https://[2001:db8::1]:444"),
        ("https://hooks.example.com?token=1", "https://hooks.example.com"),
        ("https://[broken", ""),
    ],
)
def test_only_scheme_and_host_are_shown_to_others(url: str, shown: str) -> None:
    assert origin(url) == shown


@pytest.mark.parametrize("name", ["a\r\nBcc: eve@example.com", "a\nb", "a\tb", "a\0b", "a\x85b", "a\x7fb"])
def test_a_name_is_one_line(name: str) -> None:
    faults = Faults()
    check_name(name, "name", faults)
    assert faults


@pytest.mark.parametrize("name", ["", "Orders", "Bestellungen für Köln", "\u6ce8\u6587 \U0001f4e6"])
def test_names_in_any_language(name: str) -> None:
    faults = Faults()
    check_name(name, "name", faults)
    assert not faults
