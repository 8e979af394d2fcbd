"""The terms of keys: networks in all their spellings, and which address is the client's."""

import math
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest

from cluster.access.client_address import MOST_PROXIES, client_address
from cluster.access.terms import KeyTerms, network, terms_of

PROXIES = [network("10.0.0.0/8"), network("fd00::/8")]


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_has_one_spelling(text: str, spelled: str) -> None:
    assert str(network(text)) == spelled


@pytest.mark.parametrize(
    "text",
    ["", " ", "x", "192.0.2.0/33", "192.0.2", "192.0.2.1/24", "2001:db8::1/32", "1.2.3.4/24\r\n", "\0", "٣.1.1.1"],
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no network|is an address in"):
        network(text)


def test_a_key_without_terms_has_none_to_check() -> None:
    assert terms_of("api", None, []) is None
    assert terms_of("piisend", None, []) == KeyTerms(kind="piisend")
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert terms_of("api", at, ["192.0.2.0/24"]) == KeyTerms(expires_at=at.timestamp(), networks=("192.0.2.0/24",))
    assert KeyTerms().expires_at == math.inf


def test_a_key_is_allowed_in_its_networks_only() -> None:
    terms = KeyTerms(networks=("192.0.2.0/24", "2001:db8::/32"))
    assert terms.allows(ip_address("192.0.2.255")) and terms.allows(ip_address("2001:db8::1"))
    assert not terms.allows(ip_address("192.0.3.0")) and not terms.allows(ip_address("2001:db9::"))
    assert not terms.allows(None)
    assert KeyTerms().allows(None)


@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),  # no trusted peer: the header is not believed
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("fd00::1", ["2001:db8::9"], "2001:db8::9"),
        ("10.0.0.1", ["192.0.2.66, 198.51.100.7"], "198.51.100.7"),  # the client wrote the first itself
        ("10.0.0.1", ["192.0.2.66", "198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7,10.0.0.2", "fd00::5"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8::9]:4711"], "2001:db8::9"),
        ("10.0.0.1", ["[2001:db8::9]"], "2001:db8::9"),
        ("10.0.0.1", ["198.51.100.7, , ,"], "198.51.100.7"),
        ("10.0.0.1", ["", " ", ","], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # the request began at a proxy
        ("10.0.0.1", ["192.0.2.1, unknown"], "unknown"),
        ("10.0.0.1", ["192.0.2.1, 10.0.0.2, _hidden"], "_hidden"),
        ("10.0.0.1", ["192.0.2.1 198.51.100.7"], "192.0.2.1 198.51.100.7"),
        ("10.0.0.1", ["192.0.2.1, 198.51.100.7;drop"], "198.51.100.7;drop"),
        ("10.0.0.1", ["192.0.2.1, 198.51.100.999"], "198.51.100.999"),
        ("10.0.0.1", ["192.0.2.1, 0x7f.1"], "0x7f.1"),
        ("", ["192.0.2.1"], ""),
    ],
)
def test_the_client_is_the_right_most_address_that_is_no_proxy(peer: str, forwarded: list[str], seen: str) -> None:
    assert str(client_address(peer, forwarded, PROXIES)) == seen


def test_without_trusted_proxies_the_socket_alone_counts() -> None:
    assert str(client_address("10.0.0.1", ["198.51.100.7"], [])) == "10.0.0.1"


def test_behind_too_many_proxies_the_client_is_not_known() -> None:
    assert isinstance(client_address("10.0.0.1", ["192.0.2.1" + ",10.0.0.2" * (MOST_PROXIES + 1)], PROXIES), str)
    long = ["10.0.0.2," * 7000 + "198.51.100.7"]
    assert str(client_address("10.0.0.1", long, PROXIES)) == "198.51.100.7"
