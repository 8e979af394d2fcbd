"""SPF records: what is read, and what an evaluation says (RFC 7208)."""

from collections.abc import Mapping
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.lookup.resolver import RecordType
from cluster.policy.routes import mx
from cluster.tenancy.domains import spf
from cluster.tenancy.domains.spf import BadSpf
from cluster.tenancy.domains.spf_check import Unanswered, check

Zone = Mapping[tuple[str, str], mx.Lookup]
PROPOSED = spf.parse("v=spf1 ip4:192.0.2.1 a:out.example ~all")


def texts(*values: str) -> mx.Found:
    return mx.Found(texts=values)


async def result(zone: Zone, text: str, address: str = "192.0.2.1") -> str:
    async def ask(name: str, record_type: RecordType) -> mx.Lookup:
        return zone.get((name, record_type), mx.Absent(name_exists=False))

    return await check(ask, ip_address(address), "bounces.acme.example", spf.parse(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v=spf1", "neutral"),
        ("V=SPF1 +all", "pass"),
        ("v=spf1  ip4:192.0.2.0/24   -all", "pass"),
        ("v=spf1 ip4:192.0.2.2 ?all", "neutral"),
        ("v=spf1 ip6:2001:db8::/32 ~all", "softfail"),
        ("v=spf1 a -all", "pass"),
        ("v=spf1 a:far.example/24 -all", "pass"),
        ("v=spf1 a:far.example -all", "fail"),
        ("v=spf1 mx:mail.example -all", "pass"),
        ("v=spf1 include:inner.example -all", "pass"),
        ("v=spf1 include:refuses.example ~all", "softfail"),
        ("v=spf1 redirect=refuses.example", "fail"),
        ("v=spf1 ip4:192.0.2.1 redirect=nothing.example", "pass"),
        ("v=spf1 all redirect=nothing.example", "pass"),
        ("v=spf1 exists:%{ir}.%{v}.list.example -all", "pass"),
        ("v=spf1 exists:%{d2}.list.example -all", "fail"),
        ("v=spf1 ptr -all exp=why.example unknown=x", "fail"),
    ],
)
async def test_results(text: str, expected: str) -> None:
    zone: Zone = {
        ("bounces.acme.example", "A"): mx.Found(addresses=("192.0.2.1",)),
        ("far.example", "A"): mx.Found(addresses=("192.0.2.77",)),
        ("mail.example", "MX"): mx.Found(hosts=(mx.MailHost(10, "mx1.example"), mx.MailHost(10, "far.example"))),
        ("mx1.example", "A"): mx.Found(addresses=("192.0.2.1",)),
        ("inner.example", "TXT"): texts("something else", "v=spf1 ip4:192.0.2.1 -all"),
        ("refuses.example", "TXT"): texts("v=spf1 -all"),
        ("1.2.0.192.in-addr.list.example", "A"): mx.Found(addresses=("127.0.0.2",)),
    }
    assert await result(zone, text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("v=spf2 -all", "begin with"),
        ("v=spf1 ipv4:192.0.2.1", "no mechanism"),
        ("v=spf1 ip4:192.0.2.1/33", "no address"),
        ("v=spf1 ip4:2001:db8::1", "no address"),
        ("v=spf1 ip4:192.0.2.1/255.255.255.0", "no address"),
        ("v=spf1 a/33", "length of a prefix"),
        ("v=spf1 a://129", "length of a prefix"),
        ("v=spf1 include", "names no domain"),
        ("v=spf1 all:x", "takes no value"),
        ("v=spf1 redirect=", "names no domain"),
        ("v=spf1 redirect=a.example redirect=b.example", "not allowed"),
        ("v=spf1 \0", "no term"),
        ("v=spf1 " + "a " * 201, "more than 200 terms"),
        ("v=spf1 " + "a" * 5000, "more than 4096"),
        ("v=spf1 include:nothing.example", "no SPF record"),
        ("v=spf1 include:two.example", "2 SPF records"),
        ("v=spf1 include:loop.example", "10 look-ups"),
        ("v=spf1 a:1.example a:2.example a:3.example", "no answer"),
        ("v=spf1 mx:many.example", "more than 10 hosts"),
        ("v=spf1 exists:%{x}.example", "unknown macro"),
        ("v=spf1 exists:%{c}.example", "exp= only"),
    ],
)
async def test_records_that_receivers_cannot_use(text: str, reason: str) -> None:
    zone: Zone = {
        ("two.example", "TXT"): texts("v=spf1 -all", "v=spf1 +all"),
        ("loop.example", "TXT"): texts("v=spf1 include:loop.example"),
        ("many.example", "MX"): mx.Found(hosts=tuple(mx.MailHost(1, f"h{number}.example") for number in range(11))),
    }
    with pytest.raises(BadSpf, match=reason):
        await result(zone, text)


async def test_no_answer_is_no_result() -> None:
    with pytest.raises(Unanswered):
        await result({("a.example", "TXT"): mx.Failed("SERVFAIL")}, "v=spf1 include:a.example -all")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("v=spf1 ip4:192.0.2.1 a:out.example ~all", True),
        ("v=spf1 a:out.example include:x.example ip4:192.0.2.1 -all", True),
        ("v=spf1 ip4:192.0.2.1 -all", False),
        ("v=spf1 -all ip4:192.0.2.1 a:out.example", False),
        ("v=spf1 -ip4:192.0.2.1 a:out.example", False),
        ("v=spf1 -a:out.example ip4:192.0.2.1 a:out.example", False),
        ("v=spf1 ip4:192.0.2.1 a:out.example -a:out.example", True),
    ],
)
def test_whether_a_record_holds_what_was_proposed(text: str, holds: bool) -> None:
    assert (spf.passing(spf.parse(text), PROPOSED) is not None) is holds


NAMES = st.from_regex(r"[a-z0-9]{1,9}(\.[a-z0-9]{1,9}){1,3}", fullmatch=True)
TERMS = st.one_of(
    st.builds(
        "{}ip4:{}/{}".format, st.sampled_from(["", "-", "~", "?", "+"]), st.ip_addresses(v=4), st.integers(0, 32)
    ),
    st.builds("ip6:{}/{}".format, st.ip_addresses(v=6), st.integers(0, 128)),
    st.builds("{}:{}/{}//{}".format, st.sampled_from(["a", "mx", "A"]), NAMES, st.integers(0, 32), st.integers(0, 128)),
    st.builds("{}:{}".format, st.sampled_from(["include", "exists", "ptr"]), NAMES),
    st.builds("redirect={}".format, NAMES),
    st.sampled_from(["all", "-all", "a", "mx", "x=y"]),
)


@given(st.lists(TERMS, max_size=8, unique_by=lambda term: term.partition("=")[0]))
def test_every_record_of_the_grammar_is_read(terms: list[str]) -> None:
    record = spf.parse(" ".join(["v=spf1", *terms]))
    assert len(record.mechanisms) == sum("=" not in term for term in terms)


@given(st.text(max_size=80), st.lists(st.one_of(TERMS, st.text(max_size=12)), max_size=6))
def test_any_text_is_a_record_or_a_bad_one(head: str, terms: list[str]) -> None:
    for text in (head, " ".join(["v=spf1", *terms])):
        try:
            spf.parse(text)
        except BadSpf as error:
            assert error.reason.isprintable() and len(error.reason) < 200


@given(st.ip_addresses(), st.lists(st.ip_addresses(), max_size=4))
async def test_an_address_passes_where_it_is_listed(address: object, others: list[object]) -> None:
    listed = " ".join(f"ip{one.version}:{one}" for one in [*others, address])  # type: ignore[attr-defined]
    assert await result({}, f"v=spf1 {listed} -all", str(address)) == "pass"
    unlisted = " ".join(f"ip{one.version}:{one}" for one in others if one != address)  # type: ignore[attr-defined]
    assert await result({}, f"v=spf1 {unlisted} -all", str(address)) == "fail"
