"""What ``postray doctor`` says of names in the DNS, fault by fault."""

from collections.abc import Mapping

import pytest

from cluster.doctor.findings import Finding, FindingState
from cluster.doctor.judging.answers import Answer, Unanswered
from cluster.doctor.judging.names import Address, BounceHost, Resolver, Source, of_bounces, of_resolver, of_source

OK, WARNING, PROBLEM = FindingState
OWN, HELO = "198.51.100.1", "out1.example.com"
TO_OWN, TO_HELO = Answer((OWN,)), Answer((HELO,))
SILENT = Unanswered("timed out")


def source(
    *,
    name: str = "a",
    helo: str = HELO,
    helo_addresses: Answer | Unanswered = TO_OWN,
    address: str = OWN,
    is_here: bool | None = True,
    pointers: Answer | Unanswered = TO_HELO,
    back: Mapping[str, Answer | Unanswered] | None = None,
    is_direct: bool = True,
) -> Source:
    back = {HELO: Answer((OWN,))} if back is None else back
    return Source(name, helo, helo_addresses, (Address(address, is_here, pointers, back),), is_direct)


def one(findings: list[Finding]) -> tuple[FindingState, str]:
    (found,) = findings
    return found.state, found.text


def test_names_that_lead_to_each_other() -> None:
    assert one(list(of_source(source()))) == (OK, f"source a: {OWN} and {HELO} lead to each other")


def test_the_spelling_of_an_address_does_not_count() -> None:
    found = source(
        address="2001:0db8::0001",
        helo_addresses=Answer(("2001:db8::1", OWN)),
        back={HELO: Answer(("2001:db8:0::1",))},
    )
    assert one(list(of_source(found)))[0] is OK


@pytest.mark.parametrize(
    ("wrong", "state", "said"),
    [
        (
            source(pointers=Answer(())),
            PROBLEM,
            f"{OWN} of source a has no PTR record: have its provider set it to {HELO}",
        ),
        (
            source(pointers=Answer(("x.example.net",)), back={"x.example.net": Answer(())}),
            PROBLEM,
            "does not lead back",
        ),
        (
            source(pointers=Answer(("x.example.net",)), back={"x.example.net": Answer(("203.0.113.9",))}),
            PROBLEM,
            f"publish {OWN} as an address of it",
        ),
        (
            source(pointers=Answer(("x.example.net",)), back={"x.example.net": SILENT}),
            WARNING,
            "could not be looked up",
        ),
        (source(pointers=SILENT), WARNING, "could not be looked up: timed out"),
        (
            source(pointers=Answer((HELO, "b.example.com")), back={HELO: Answer((OWN,)), "b.example.com": Answer(())}),
            WARNING,
            "has 2 PTR records",
        ),
        (source(is_here=False), PROBLEM, "this machine does not have"),
        (source(helo_addresses=Answer(())), PROBLEM, f"says {HELO} in EHLO, which has no address"),
        (source(helo_addresses=Answer(("203.0.113.9",))), WARNING, "leads to 203.0.113.9 and not to"),
        (source(helo_addresses=SILENT), WARNING, "could not be looked up: timed out"),
        (source(helo="mailer"), PROBLEM, "is no full name"),
        (source(helo=f"[{OWN}]"), WARNING, "many hosts refuse addresses there"),
        (
            source(address="10.0.0.1", helo_addresses=Answer(("10.0.0.1",)), pointers=Answer(())),
            WARNING,
            "is not public",
        ),
    ],
)
def test_each_fault_is_told_with_what_to_do(wrong: Source, state: FindingState, said: str) -> None:
    found, text = one(list(of_source(wrong)))
    assert (found, said in text) == (state, True), text


def test_where_no_mail_goes_to_mail_exchangers_nothing_of_it_is_grave() -> None:
    wrong = source(is_here=False, helo_addresses=Answer(()), pointers=Answer(()), is_direct=False)
    assert {finding.state for finding in of_source(wrong)} == {WARNING}


def bounce_host(**changes: object) -> BounceHost:
    found: dict[str, object] = {
        "host": "mx.example.com",
        "addresses": Answer((OWN,)),
        "is_bound": True,
        "is_direct": True,
    }
    return BounceHost(**(found | changes))  # type: ignore[arg-type]  # a few fields of many


@pytest.mark.parametrize(
    ("found", "state", "said"),
    [
        (bounce_host(), OK, f"bounces go to mx.example.com at {OWN}"),
        (bounce_host(host="mailer"), PROBLEM, "no full name"),
        (bounce_host(addresses=Answer(())), PROBLEM, "has no address"),
        (bounce_host(addresses=Answer(()), is_direct=False), WARNING, "has no address"),
        (bounce_host(addresses=SILENT), WARNING, "timed out"),
        (bounce_host(addresses=Answer((OWN,), alias="b.example.com")), WARNING, "an alias of b.example.com"),
    ],
)
def test_the_host_of_bounces(found: BounceHost, state: FindingState, said: str) -> None:
    told, text = one(list(of_bounces(found)))
    assert (told, said in text) == (state, True), text


def test_bounces_that_arrive_nowhere() -> None:
    complaints = {
        "fbl.example.com": Answer(("10 other.example.com",)),
        "in.example.com": Answer(("10 mx.example.com",)),
    }
    good, unbound, elsewhere = of_bounces(bounce_host(is_bound=False, complaints=complaints))
    assert (good.state, unbound.state, elsewhere.state) == (OK, WARNING, WARNING)
    assert "set bounce.bind" in unbound.text
    assert elsewhere.text.endswith("publish fbl.example.com MX 10 mx.example.com")


@pytest.mark.parametrize(
    ("servers", "root", "needs", "states"),
    [
        (("127.0.0.1",), Answer(("a",), is_secure=True), True, [OK]),
        (("192.0.2.53",), Answer(("a",), is_secure=True), True, [OK, WARNING]),
        (("192.0.2.53",), Answer(("a",), is_secure=True), False, [OK]),
        (("127.0.0.1",), Answer(("a",)), True, [PROBLEM]),
        (("127.0.0.1",), Answer(("a",)), False, [WARNING]),
        (("127.0.0.1",), SILENT, False, [PROBLEM]),
    ],
)
def test_the_resolver(servers: tuple[str, ...], root: Answer | Unanswered, needs: bool, states: list[str]) -> None:
    assert [finding.state for finding in of_resolver(Resolver(servers, root, needs))] == states
