"""The journal's part for TLS reports (RFC 8460): counts of sessions per day, recipient domain and result."""

from collections import Counter
from collections.abc import Mapping
from datetime import date

from cluster.journal.database import JournalPart
from cluster.policy.tls.policy import PolicyType
from cluster.policy.tls.report import TlsResult

MOST_RESULTS = 20_000
"""Rows of a domain's day that are read: a domain that changes its hosts all day may have more."""
MOST_POLICIES = 20
"""Policies of a domain on a day whose counts are read; the text of each may have 64 KB."""


class TlsResultCounts(JournalPart):
    async def add(self, counts: Mapping[TlsResult, int]) -> None:
        """Add the counts to those of the day, all or none."""
        results = list(counts)
        await self._database.execute(
            "add_tls_results",
            days=[result.day for result in results],
            domains=[result.domain for result in results],
            policy_types=[result.policy_type.value for result in results],
            policies=[result.policy for result in results],
            result_types=[str(result.result_type) for result in results],
            mx_hosts=[result.mx_host for result in results],
            sending_ips=[result.sending_ip for result in results],
            receiving_ips=[result.receiving_ip for result in results],
            sessions=list(counts.values()),
        )

    async def of_day(self, day: date, domain: str) -> list[tuple[TlsResult, int]]:
        """The counts of a domain on a day, as ``cluster.policy.tls.report.report`` takes them: at most
        ``MOST_RESULTS``, of ``MOST_POLICIES`` policies, the most frequent first."""
        found = await self._database.rows("tls_results", day=day, domain=domain, limit=MOST_RESULTS)
        sessions_of: Counter[tuple[str, int]] = Counter()
        for policy_type, hash, *_, sessions in found:
            sessions_of[policy_type, hash] += sessions
        kept = [key for key, _ in sessions_of.most_common(MOST_POLICIES)]
        texts = await self._database.rows(
            "tls_policy_texts",
            day=day,
            domain=domain,
            policy_types=[policy_type for policy_type, _ in kept],
            hashes=[hash for _, hash in kept],
        )
        policies = {(policy_type, hash): policy for policy_type, hash, policy in texts}
        counts = [
            (
                TlsResult(
                    day=day,
                    domain=domain,
                    policy_type=PolicyType(policy_type),
                    policy=policies[policy_type, hash],
                    result_type=result_type,
                    mx_host=mx_host,
                    sending_ip=sending_ip,
                    receiving_ip=receiving_ip,
                ),
                sessions,
            )
            for policy_type, hash, result_type, mx_host, sending_ip, receiving_ip, sessions in found
            if (policy_type, hash) in policies
        ]
        return sorted(counts, key=lambda one: (one[0].policy_type.value, one[0].policy))

    async def domains(self, day: date, after: str, limit: int) -> list[str]:
        """The domains that have counts of a day, sorted, after ``after``."""
        return [
            domain for (domain,) in await self._database.rows("tls_result_domains", day=day, after=after, limit=limit)
        ]
