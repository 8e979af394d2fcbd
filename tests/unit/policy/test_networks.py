"""Which addresses may be connected to when a remote party chooses them."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.policy.routes.networks import EVERYWHERE, Networks, networks

INTERNET = Networks()


def in_every_form(address: IPv4Address) -> list[str]:
    """The address itself, mapped (RFC 4291), behind NAT64 (RFC 6052) and behind 6to4 (RFC 3056)."""
    number = int(address)
    forms = [0xFFFF << 32 | number, int(IPv6Address("64:ff9b::")) | number, 0x2002 << 112 | number << 80 | 1]
    return [str(address), *(str(IPv6Address(form)) for form in forms)]


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.19.255.255"),
        *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    ],
)
def test_what_is_not_public_is_refused_in_every_form(text: str) -> None:
    for form in in_every_form(IPv4Address(text)):
        assert "smtp.allowed_networks" in (INTERNET.refusal(form) or ""), form


@pytest.mark.parametrize(
    "text",
    [
        *("::", "::1", "::7f00:1", "::808:808", "::ffff:0:a00:1", "64:ff9b:1::808:808", "100::1", "fc00::1", "fd12::1"),
        *("fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
        *("2001:2::1", "2001:db8::1", "3fff::1", "5f00::1", "4000::1"),
    ],
)
def test_what_is_not_public_in_ipv6_is_refused(text: str) -> None:
    assert INTERNET.refusal(text) is not None


@pytest.mark.parametrize("text", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "193.0.0.1", "223.255.255.255"])
def test_what_is_public_is_connected_to_in_every_form(text: str) -> None:
    assert [INTERNET.refusal(form) for form in in_every_form(IPv4Address(text))] == [None] * 4


@pytest.mark.parametrize("text", ["2606:4700::1111", "2a00:1450:4013:c07::1a", "2001:4860::8844", "2400::1"])
def test_what_is_public_in_ipv6_is_connected_to(text: str) -> None:
    assert INTERNET.refusal(text) is None


def test_the_settings_open_and_close_networks() -> None:
    own = networks(allowed=["10.0.0.0/8", "fd00::/8"], prohibited=["10.9.0.0/16", "8.8.8.0/24"])
    assert [own.refusal(form) for form in in_every_form(IPv4Address("10.1.2.3"))] == [None] * 4
    for text in ("10.9.0.1", "8.8.8.8"):
        for form in in_every_form(IPv4Address(text)):
            assert own.refusal(form) == f"{form} is in smtp.prohibited_networks"
    assert own.refusal("fd00::1") is None
    assert own.refusal("8.8.4.4") is None
    assert own.refusal("192.168.0.1") == "192.168.0.1 is not public (private), and not in smtp.allowed_networks"


def test_networks_must_be_networks() -> None:
    with pytest.raises(ValueError, match="host bits"):
        networks(prohibited=["10.0.0.1/8"])


@given(st.ip_addresses(v=4))
def test_no_form_of_an_address_opens_what_the_address_does_not(address: IPv4Address) -> None:
    assert len({INTERNET.refusal(form) is None for form in in_every_form(address)}) == 1
    assert all(EVERYWHERE.refusal(form) is None for form in in_every_form(address))


@given(st.ip_addresses())
def test_nothing_is_connected_to_that_python_calls_private(address: IPv4Address | IPv6Address) -> None:
    if INTERNET.refusal(address) is None:
        assert not address.is_private or str(address).startswith(("64:ff9b::", "2002:", "::ffff:"))
        assert not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified)
