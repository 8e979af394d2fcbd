"""The journal's part for TLS reports (RFC 8460): counts of sessions per day, recipient domain and result."""

from collections.abc import Mapping
from datetime import date

from cluster.journal.database import JournalPart
from cluster.policy.tls.policy import PolicyType
from cluster.policy.tls.report import TlsResult


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
        """The counts of a domain on a day, in a fixed order, as ``cluster.policy.tls.report.report`` takes them."""
        found = await self._database.rows("tls_results", day=day, domain=domain)
        return [
            (
                TlsResult(
                    day=day,
                    domain=domain,
                    policy_type=PolicyType(policy_type),
                    policy=policy,
                    result_type=result_type,
                    mx_host=mx_host,
                    sending_ip=sending_ip,
                    receiving_ip=receiving_ip,
                ),
                sessions,
            )
            for policy_type, policy, result_type, mx_host, sending_ip, receiving_ip, sessions in found
        ]

    async def forget(self, before: date) -> None:
        await self._database.execute("forget_tls_results", before=before)
