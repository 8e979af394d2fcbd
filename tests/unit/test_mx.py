from collections.abc import Callable

import pytest

from cluster.policy import mx
from cluster.policy.mx import (
    Absent,
    Addresses,
    Failed,
    Family,
    Found,
    MailHosts,
    MxHost,
    NoMail,
    Unresolved,
    Unroutable,
)


def numbers(*values: float) -> Callable[[], float]:
    return iter(values).__next__


def zero() -> float:
    return 0.0


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("_spf.example", "_spf.example"),
        ("localhost", "localhost"),
    ],
)
def test_names_to_ask_for(domain: str, name: str) -> None:
    assert mx.lookup_name(domain) == name


@pytest.mark.parametrize(
    ("domain", "cause"),
    [
        ("[192.0.2.1]", NoMail.ADDRESS_LITERAL),
        ("[IPv6:2001:db8::1]", NoMail.ADDRESS_LITERAL),
        ("192.0.2.1", NoMail.ADDRESS_LITERAL),
        ("2001:db8::1", NoMail.ADDRESS_LITERAL),
        ("", NoMail.BAD_NAME),
        (".", NoMail.BAD_NAME),
        ("a..b", NoMail.BAD_NAME),
        ("a b.org", NoMail.BAD_NAME),
        ("a\x00.org", NoMail.BAD_NAME),
        ("-a.org", NoMail.BAD_NAME),
        ("x" * 64 + ".org", NoMail.BAD_NAME),
        (".".join(["x" * 60] * 5), NoMail.BAD_NAME),
        ("\N{ZERO WIDTH JOINER}.org", NoMail.BAD_NAME),
    ],
)
def test_names_that_are_not_asked_for(domain: str, cause: NoMail) -> None:
    assert mx.lookup_name(domain) == Unroutable(cause, domain)


def test_the_order_is_by_preference_and_chance_among_equals() -> None:
    hosts = [MxHost(20, "d"), MxHost(10, "a"), MxHost(10, "b"), MxHost(10, "c")]
    assert [host.name for host in mx.order(hosts, numbers(0.0, 0.9, 0.1, 0.5))] == ["b", "c", "a", "d"]
    assert [host.name for host in mx.order(hosts, numbers(0.9, 0.1, 0.5, 0.2))] == ["a", "c", "b", "d"]


def test_route_of_mx_records() -> None:
    found = Found(hosts=(MxHost(20, "b.test"), MxHost(10, "a.test"), MxHost(10, "a.test")))
    route = mx.route_of_mx("x.test", found, zero)
    assert route == MailHosts((MxHost(10, "a.test"), MxHost(20, "b.test")), implicit=False)
    assert route.names == ("a.test", "b.test")


@pytest.mark.parametrize(
    ("lookup", "route"),
    [
        (Found(hosts=(MxHost(0, ""),)), Unroutable(NoMail.NULL_MX, "x.test")),
        (Found(hosts=(MxHost(0, ""), MxHost(5, "a.test"))), MailHosts((MxHost(5, "a.test"),), implicit=False)),
        (Found(hosts=(MxHost(5, "192.0.2.1"), MxHost(6, "a b"))), Unroutable(NoMail.BAD_MX, "x.test")),
        (Absent(name_exists=False), Unroutable(NoMail.NO_SUCH_DOMAIN, "x.test")),
        (Absent(name_exists=True), None),
        (Failed("SERVFAIL"), Unresolved("x.test", "SERVFAIL")),
    ],
)
def test_route_of_other_answers(lookup: mx.Lookup, route: mx.Route | None) -> None:
    assert mx.route_of_mx("x.test", lookup, zero) == route


def test_a_domain_without_mx_stands_for_itself() -> None:
    assert mx.route_of_addresses("x.test", Addresses(("192.0.2.1",))) == MailHosts(
        (MxHost(0, "x.test"),), implicit=True
    )
    nothing = Unroutable(NoMail.NO_ADDRESS, "x.test")
    assert mx.route_of_addresses("x.test", nothing) == nothing


A = Found(addresses=("192.0.2.1", "192.0.2.2"))
AAAA = Found(addresses=("2001:db8::1",))
NO_DATA = Absent(name_exists=True)
NO_NAME = Absent(name_exists=False)
TIMED_OUT = Failed("timed out")


@pytest.mark.parametrize(
    ("a", "aaaa", "expected"),
    [
        (A, AAAA, Addresses(("192.0.2.1", "192.0.2.2", "2001:db8::1"))),
        (A, NO_DATA, Addresses(("192.0.2.1", "192.0.2.2"))),
        (NO_DATA, AAAA, Addresses(("2001:db8::1",))),
        (A, TIMED_OUT, Addresses(("192.0.2.1", "192.0.2.2"))),
        (NO_DATA, TIMED_OUT, Unresolved("h.test", "timed out")),
        (NO_DATA, NO_DATA, Unroutable(NoMail.NO_ADDRESS, "h.test")),
        (NO_NAME, NO_NAME, Unroutable(NoMail.NO_SUCH_DOMAIN, "h.test")),
    ],
)
def test_addresses(a: mx.Lookup, aaaa: mx.Lookup, expected: mx.HostAddresses) -> None:
    assert mx.join_addresses("h.test", a, aaaa, Family.IPV4_FIRST) == expected


def test_ipv6_first() -> None:
    joined = mx.join_addresses("h.test", A, AAAA, Family.IPV6_FIRST)
    assert joined == Addresses(("2001:db8::1", "192.0.2.1", "192.0.2.2"))


@pytest.mark.parametrize(
    ("lookup", "ttls", "seconds"),
    [
        (A, [300, 60, 3600], 60),
        (A, [0], 5),
        (A, [604800], 86400),
        (A, [], 5),
        (NO_DATA, [], 60),
        (NO_NAME, [], 60),
        (TIMED_OUT, [], 5),
    ],
)
def test_how_long_an_answer_is_kept(lookup: mx.Lookup, ttls: list[float], seconds: float) -> None:
    assert mx.keep_for_s(lookup, ttls) == seconds
