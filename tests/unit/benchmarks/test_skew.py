"""The Zipf distribution, the busiest second, and the DNS in which every domain is a site."""

from collections import Counter

from dnslib import QTYPE, DNSRecord

from benchmarks.names import answer, domain
from benchmarks.scenarios.skew import busiest, zipf


def test_the_nth_largest_gets_the_nth_part() -> None:
    rank = zipf(1000)
    counts = Counter(rank(number) for number in range(40_000))
    assert min(counts) == 1
    assert max(counts) <= 1000
    for n in (2, 5, 10):
        assert 0.8 < counts[n] * n / counts[1] < 1.25
    assert [rank(number) for number in range(50)] == [rank(number) for number in range(50)]


def test_the_busiest_second_is_any_second() -> None:
    assert busiest([]) == 0
    assert busiest([5.0]) == 1
    assert busiest([0.0, 0.6, 0.9, 1.5, 1.55, 3.0]) == 4
    assert busiest([0.0, 1.0, 2.0]) == 1


def asked(name: str, kind: str) -> DNSRecord:
    reply = answer(DNSRecord.question(name, kind).pack())
    assert reply is not None
    return DNSRecord.parse(reply)


def test_every_domain_has_a_mail_host_of_its_own() -> None:
    for number in (1, 77, 999_999):
        reply = asked(domain(number), "MX")
        assert [(rr.rtype, str(rr.rdata)) for rr in reply.rr] == [(QTYPE.MX, f"10 mx.{domain(number)}.")]
        (address,) = asked(f"mx.{domain(number)}", "A").rr
        assert str(address.rdata) == "127.0.0.1"


def test_nothing_else_has_data() -> None:
    for name, kind in (("mx.d1.bench.test", "AAAA"), ("_mta-sts.d1.bench.test", "TXT"), ("d1.bench.test", "A")):
        reply = asked(name, kind)
        assert reply.rr == []
        assert reply.header.rcode == 0


def test_what_is_no_query_gets_no_answer() -> None:
    assert answer(b"") is None
    assert answer(b"\x00" * 11) is None
    assert answer(DNSRecord.question("example.org").pack()[:-3]) is None
    assert answer(b"\x00" * 12 + b"\xff" * 300) is None
