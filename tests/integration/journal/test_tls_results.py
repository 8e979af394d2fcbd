"""The counts for TLS reports in Postgres."""

import asyncio
from datetime import date

from cluster.journal.journal import Journal
from cluster.policy.tls.policy import PolicyType
from cluster.policy.tls.report import TlsResult

DAY = date(2026, 3, 1)


def result(domain: str = "a.test", policy: str = "", day: date = DAY) -> TlsResult:
    return TlsResult(
        day=day,
        domain=domain,
        policy_type=PolicyType.STS if policy else PolicyType.NONE,
        policy=policy,
        result_type="certificate-expired" if policy else "",
        mx_host="mx.a.test",
        sending_ip="192.0.2.1",
        receiving_ip="2001:db8::1",
    )


async def test_counts_add_up(journal: Journal) -> None:
    await journal.tls_results.add({result(): 2, result(policy="mode: enforce\nmx: mx.a.test"): 1})
    await journal.tls_results.add({result(): 3, result("b.test"): 7, result(day=date(2026, 3, 2)): 9})
    assert await journal.tls_results.of_day(DAY, "a.test") == [
        (result(), 5),
        (result(policy="mode: enforce\nmx: mx.a.test"), 1),
    ]
    assert await journal.tls_results.of_day(DAY, "b.test") == [(result("b.test"), 7)]
    assert await journal.tls_results.of_day(DAY, "c.test") == []


async def test_a_policy_as_long_as_it_may_be(journal: Journal) -> None:
    long = "\n".join(f"mx: {i:060}.test" for i in range(1000))
    for _ in range(2):
        await journal.tls_results.add({result(policy=long): 1, result(policy=long + "\n"): 1})
    assert [count for _, count in await journal.tls_results.of_day(DAY, "a.test")] == [2, 2]


async def test_actors_that_count_the_same_do_not_hinder_each_other(journal: Journal) -> None:
    counts = {result(f"{i}.test"): 1 for i in range(300)}
    backwards = dict(reversed(counts.items()))
    await asyncio.gather(*(journal.tls_results.add(one) for one in (counts, backwards) * 4))
    assert await journal.tls_results.of_day(DAY, "7.test") == [(result("7.test"), 8)]
