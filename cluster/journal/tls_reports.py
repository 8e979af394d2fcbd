"""The journal's part for sending TLS reports (RFC 8460): what is to be sent for a day and to whom, and what was sent.

A row is taken under a lease, so when a process dies, its next life takes the row again.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from msgspec import Struct

from cluster.journal.database import JournalPart, execute

LONGEST_RESULT = 500


class OwedReport(Struct, frozen=True, kw_only=True):
    """One step that is due: a report for one destination, or with ``destination`` "" the look-up of destinations."""

    day: date
    domain: str
    destination: str
    attempts: int
    """This one included."""
    until: datetime


class ReportState(Struct, frozen=True, kw_only=True):
    """What became of a report, or of the look-up (``destination`` is "")."""

    domain: str
    destination: str
    due_at: datetime | None
    """None: nothing more is tried."""
    sent_at: datetime | None
    result: str


class TlsReports(JournalPart):
    """Plans, leases and ends what is to be sent."""

    async def plan(self, day: date, domains: Sequence[str], begin: datetime, spread_s: float, until: datetime) -> None:
        """Plan to look up the records of these domains, each once for a day, at times spread over ``spread_s`` from
        ``begin``."""
        await self._database.execute(
            "plan_tls_reports",
            day=day,
            domains=list(domains),
            begin=begin,
            spread=timedelta(seconds=spread_s),
            until=until,
        )

    async def ask(self, day: date, domains: Sequence[str], now: datetime, until: datetime) -> None:
        """Make the look-ups due now, also of domains that were planned before. What was not sent yet is sent then."""
        await self._database.execute("ask_for_tls_reports", day=day, domains=list(domains), now=now, until=until)

    async def take(self, now: datetime, lease_s: float, limit: int) -> list[OwedReport]:
        """Lease what is due."""
        lease_until = now + timedelta(seconds=lease_s)
        found = await self._database.rows("take_tls_reports", now=now, lease_until=lease_until, limit=limit)
        return [
            OwedReport(day=day, domain=domain, destination=destination, attempts=attempts, until=until)
            for day, domain, destination, attempts, until in found
        ]

    async def found(self, owed: OwedReport, destinations: Sequence[str], result: str, now: datetime) -> None:
        """End the look-up: these destinations get the report at once, except those that have it."""
        async with self._database.transaction() as connection:
            await execute(
                connection,
                "add_tls_reports",
                day=owed.day,
                domain=owed.domain,
                destinations=list(destinations),
                now=now,
                until=owed.until,
            )
            await execute(connection, "tls_report_ended", **_key(owed), sent_at=None, result=result[:LONGEST_RESULT])

    async def ended(self, owed: OwedReport, result: str, sent_at: datetime | None) -> None:
        """Nothing more is tried; ``sent_at`` is None where the report was given up."""
        await self._database.execute("tls_report_ended", **_key(owed), sent_at=sent_at, result=result[:LONGEST_RESULT])

    async def again(self, owed: OwedReport, result: str, due_at: datetime) -> None:
        await self._database.execute("tls_report_again", **_key(owed), due_at=due_at, result=result[:LONGEST_RESULT])

    async def of_domains(self, day: date, domains: Sequence[str]) -> list[ReportState]:
        found = await self._database.rows("tls_reports_of", day=day, domains=list(domains))
        return [
            ReportState(domain=domain, destination=destination, due_at=due_at, sent_at=sent_at, result=result)
            for domain, destination, due_at, sent_at, result in found
        ]


def _key(owed: OwedReport) -> dict[str, object]:
    return {"day": owed.day, "domain": owed.domain, "destination": owed.destination}
