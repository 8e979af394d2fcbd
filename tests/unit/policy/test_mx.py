from collections.abc import Callable

import pytest

from cluster.policy.routes import mx
from cluster.policy.routes.mx import (
    Absent,
    Addresses,
    AddressFamily,
    CachedAnswer,
    Failed,
    Found,
    MailHost,
    MailHosts,
    NoMail,
    UnresolvedHosts,
    Unroutable,
)
from cluster.policy.routes.networks import networks


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
    hosts = [MailHost(20, "d"), MailHost(10, "a"), MailHost(10, "b"), MailHost(10, "c")]
    assert [host.name for host in mx.order(hosts, numbers(0.0, 0.9, 0.1, 0.5))] == ["b", "c", "a", "d"]
    assert [host.name for host in mx.order(hosts, numbers(0.9, 0.1, 0.5, 0.2))] == ["a", "c", "b", "d"]


def test_route_of_mx_records() -> None:
    found = Found(hosts=(MailHost(20, "b.test"), MailHost(10, "a.test"), MailHost(10, "a.test")))
    route = mx.route_of_mx("x.test", found, zero)
    assert route == MailHosts((MailHost(10, "a.test"), MailHost(20, "b.test")), implicit=False)
    assert route.names == ("a.test", "b.test")


@pytest.mark.parametrize(
    ("lookup", "route"),
    [
        (Found(hosts=(MailHost(0, ""),)), Unroutable(NoMail.NULL_MX, "x.test")),
        (Found(hosts=(MailHost(0, ""), MailHost(5, "a.test"))), MailHosts((MailHost(5, "a.test"),), implicit=False)),
        (Found(hosts=(MailHost(5, "192.0.2.1"), MailHost(6, "a b"))), Unroutable(NoMail.BAD_MX, "x.test")),
        (Absent(name_exists=False), Unroutable(NoMail.NO_SUCH_DOMAIN, "x.test")),
        (Absent(name_exists=True), None),
        (Failed("SERVFAIL"), UnresolvedHosts("x.test", "SERVFAIL")),
    ],
)
def test_route_of_other_answers(lookup: mx.Lookup, route: mx.Route | None) -> None:
    assert mx.route_of_mx("x.test", lookup, zero) == route


def test_a_domain_without_mx_stands_for_itself() -> None:
    assert mx.route_of_addresses("x.test", Addresses(("192.0.2.1",))) == MailHosts(
        (MailHost(0, "x.test"),), implicit=True
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
        (A, AAAA, Addresses(("192.0.2.1", "2001:db8::1", "192.0.2.2"))),
        (A, NO_DATA, Addresses(("192.0.2.1", "192.0.2.2"))),
        (NO_DATA, AAAA, Addresses(("2001:db8::1",))),
        (A, TIMED_OUT, Addresses(("192.0.2.1", "192.0.2.2"))),
        (NO_DATA, TIMED_OUT, UnresolvedHosts("h.test", "timed out")),
        (NO_DATA, NO_DATA, Unroutable(NoMail.NO_ADDRESS, "h.test")),
        (NO_NAME, NO_NAME, Unroutable(NoMail.NO_SUCH_DOMAIN, "h.test")),
    ],
)
def test_addresses(a: mx.Lookup, aaaa: mx.Lookup, expected: mx.HostAddresses) -> None:
    assert mx.join_addresses("h.test", a, aaaa, AddressFamily.IPV4_FIRST, zero) == expected


def of_family(count: int, prefix: str) -> Found:
    return Found(addresses=tuple(f"{prefix}{i}" for i in range(1, count + 1)))


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        (AddressFamily.IPV4_FIRST, ("192.0.2.1", "2001:db8::1", "192.0.2.2")),
        (AddressFamily.IPV6_FIRST, ("2001:db8::1", "192.0.2.1", "192.0.2.2")),
    ],
)
def test_families_take_turns(family: AddressFamily, expected: tuple[str, ...]) -> None:
    assert mx.join_addresses("h.test", A, AAAA, family, zero) == Addresses(expected)


def test_addresses_of_a_family_are_shuffled_whatever_order_the_dns_gave() -> None:
    backwards = Found(addresses=("192.0.2.3", "192.0.2.2", "192.0.2.1", "192.0.2.1"))
    joined = mx.join_addresses("h.test", backwards, NO_DATA, AddressFamily.IPV4_FIRST, numbers(0.5, 0.9, 0.1))
    assert joined == Addresses(("192.0.2.3", "192.0.2.1", "192.0.2.2"))


def test_no_more_addresses_than_count() -> None:
    many = mx.join_addresses(
        "h.test", of_family(20, "192.0.2."), of_family(2, "2001:db8::"), AddressFamily.IPV4_FIRST, zero
    )
    assert isinstance(many, Addresses)
    assert len(many.addresses) == mx.MAX_ADDRESSES
    assert [address for address in many.addresses if ":" in address] == ["2001:db8::1", "2001:db8::2"]


def test_no_more_hosts_than_count() -> None:
    hosts = tuple(MailHost(100 - i, f"mx{i}.test") for i in range(60))
    kept = mx.bounded(Found(hosts=hosts))
    assert len(kept.hosts) == mx.MAX_RECORDS
    route = mx.route_of_mx("x.test", kept, zero)
    assert isinstance(route, MailHosts)
    assert [host.preference for host in route.hosts] == list(range(41, 41 + mx.MAX_HOSTS))


def test_texts_are_bounded_together() -> None:
    long = "x" * mx.MAX_TEXT
    assert mx.bounded(Found(texts=(long + "x", "v=STSv1; id=1;", long))).texts == ("v=STSv1; id=1;",)


GUARD = mx.make_guard(
    own_names=["Out.Example.", "mail.example"],
    own_addresses=["198.51.100.7"],
    networks=networks(allowed=["198.51.100.0/24", "10.9.0.0/16"]),
)


@pytest.mark.parametrize(
    ("hosts", "kept"),
    [
        ([(10, "a.test"), (20, "b.test")], ["a.test", "b.test"]),
        ([(10, "a.test"), (20, "b.test"), (20, "mail.example"), (30, "c.test")], ["a.test"]),
        ([(10, "a.test"), (20, "out.example"), (30, "mail.example")], ["a.test"]),
        ([(10, "b.test"), (10, "out.example"), (20, "c.test")], None),
    ],
)
def test_hosts_that_are_no_better_than_we_are_left_out(hosts: list[tuple[int, str]], kept: list[str] | None) -> None:
    route = MailHosts(tuple(MailHost(*host) for host in hosts), implicit=False)
    guarded = GUARD.route("x.test", route)
    if kept is None:
        assert guarded == Unroutable(NoMail.LOOP, "x.test")
    else:
        assert isinstance(guarded, MailHosts)
        assert list(guarded.names) == kept


def test_a_domain_that_is_our_own_name_loops() -> None:
    route = MailHosts((MailHost(0, "mail.example"),), implicit=True)
    assert GUARD.route("mail.example", route) == Unroutable(NoMail.LOOP, "mail.example")
    assert mx.make_guard().route("mail.example", route) == route
    assert GUARD.route("x.test", UnresolvedHosts("x.test", "SERVFAIL")) == UnresolvedHosts("x.test", "SERVFAIL")


LOOP = Unroutable(NoMail.LOOP, "h.test")


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (("198.51.100.1", "127.0.0.1", "2606::1"), Addresses(("198.51.100.1", "2606::1"))),
        (("127.8.9.1", "10.0.0.1"), "127.8.9.1 is not public (loopback), and not in smtp.allowed_networks"),
        (("::ffff:10.0.0.1",), "::ffff:10.0.0.1 is not public (private), and not in smtp.allowed_networks"),
        (("10.9.0.1",), Addresses(("10.9.0.1",))),
        (("198.51.100.1", "198.51.100.7"), LOOP),
        (("::ffff:198.51.100.7",), LOOP),
    ],
)
def test_addresses_that_are_not_connected_to(addresses: tuple[str, ...], expected: mx.HostAddresses | str) -> None:
    if isinstance(expected, str):
        expected = Unroutable(NoMail.PROHIBITED, "h.test", expected)
    assert GUARD.addresses("h.test", Addresses(addresses)) == expected


def test_what_has_no_address_needs_no_guard() -> None:
    assert GUARD.addresses("h.test", UnresolvedHosts("h.test", "SERVFAIL")) == UnresolvedHosts("h.test", "SERVFAIL")


def test_an_expired_answer_stands_in_when_the_dns_fails() -> None:
    known = mx.remember(None, A, [300], now=1000, stale_s=3600)
    assert known == CachedAnswer(A, 1300, 4900)
    first = mx.remember(known, TIMED_OUT, [], now=1300, stale_s=3600)
    assert first == CachedAnswer(A, 1330, 4900)
    # However often the DNS fails, the age of the answer is not reset.
    assert mx.remember(first, TIMED_OUT, [], now=4899, stale_s=3600) == CachedAnswer(A, 4929, 4900)
    assert mx.remember(first, TIMED_OUT, [], now=4900, stale_s=3600) == CachedAnswer(TIMED_OUT, 4905, 4900)
    assert mx.remember(first, NO_NAME, [], now=1330, stale_s=3600) == CachedAnswer(NO_NAME, 1390, 4990)


def test_no_failure_stands_in_for_another() -> None:
    failed = mx.remember(None, TIMED_OUT, [], now=1000, stale_s=3600)
    assert mx.remember(failed, Failed("SERVFAIL"), [], now=1005, stale_s=3600).lookup == Failed("SERVFAIL")


def test_stale_answers_can_be_refused() -> None:
    known = mx.remember(None, A, [300], now=1000, stale_s=0)
    assert mx.remember(known, TIMED_OUT, [], now=1300, stale_s=0).lookup == TIMED_OUT


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
