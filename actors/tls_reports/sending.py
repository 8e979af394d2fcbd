"""Delivers one TLS report: as a signed mail through the intake, or by an HTTPS POST (RFC 8460 §5.3, §5.4)."""

import asyncio
import gzip
from collections.abc import Callable
from datetime import date, datetime, timedelta
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import replace

from actors.tls_reports.mail import report_mail
from actors.webhooks.client import Client
from cluster.intake.prepared import prepared_request
from cluster.intake.senders import tenant_of_sender
from cluster.journal.idempotency import IdempotencyKey
from cluster.journal.journal import Journal
from cluster.journal.records import TLS_REPORT, Address, Content, PreparedPersonalization
from cluster.policy.routes.domains import domain_of, spelled
from cluster.policy.tls.report import file_name, report, report_id
from cluster.policy.tls.rua import Destination
from cluster.settings import TlsReportSettings

LIFETIME = timedelta(days=1)
MEDIA_TYPE = "application/tlsrpt+gzip"


class SendResult(Struct, frozen=True):
    """What came of an attempt. ``reason``: in words."""

    is_sent: bool
    reason: str


class Sending:
    """``client`` posts, and checks each address as it connects to it. ``now`` is the time."""

    def __init__(
        self, journal: Journal, client: Client, settings: TlsReportSettings, *, now: Callable[[], datetime]
    ) -> None:
        self._journal = journal
        self._client = client
        self._sender = spelled(settings.sender)
        self.submitter = domain_of(self._sender)
        """The domain that reports."""
        self._organization = settings.organization or self.submitter
        self._contact = settings.contact or self._sender
        self._now = now

    async def close(self) -> None:
        await self._client.close()

    async def problem(self) -> str | None:
        """Why mail cannot be signed; None when it can. Raises Unavailable."""
        if await tenant_of_sender(self._journal, self._sender) is not None:
            return None
        return f"tls_reports.sender: no tenant has verified {self.submitter}, so no key can sign reports by mail"

    async def document(self, domain: str, day: date) -> bytes | None:
        """The report on a domain for a day, in JSON; None when nothing was counted. Raises Unavailable."""
        counts = await self._journal.tls_results.of_day(day, domain)
        if not counts:
            return None
        return await asyncio.to_thread(
            report,
            domain,
            day,
            counts,
            organization=self._organization,
            contact=self._contact,
            report_id=report_id(domain, day, self.submitter),
        )

    async def send(self, domain: str, day: date, document: bytes, destination: Destination) -> SendResult:
        """Send a report once. Raises Unavailable, Rejected."""
        packed = await asyncio.to_thread(gzip.compress, document, mtime=0)
        if destination.email:
            return await self._mail(domain, day, packed, destination)
        name = file_name(domain, day, self.submitter)
        headers = {"Content-Type": MEDIA_TYPE, "Content-Disposition": f'attachment; filename="{name}"'}
        answer = await self._client.post_once(destination.uri, headers, packed)
        if answer.result.is_taken:
            return SendResult(True, f"answered {answer.result.status}")
        return SendResult(False, answer.result.error)

    async def _mail(self, domain: str, day: date, packed: bytes, destination: Destination) -> SendResult:
        tenant_id = await tenant_of_sender(self._journal, self._sender)
        if tenant_id is None:
            return SendResult(False, await self.problem() or "a tenant has verified the sender's domain just now")
        to = destination.email
        original = report_mail(domain, day, packed, sender=self._sender, to=to, submitter=self.submitter)
        content = Content(
            from_=Address(self._sender),
            subject=f"Report Domain: {domain}",
            categories=(TLS_REPORT,),
            original=original,
            reports_tls=True,
        )
        request = prepared_request(
            content,
            [PreparedPersonalization(to=(Address(to),), is_notice=True)],
            [None],
            tenant_id=tenant_id,
            now=self._now(),
            lifetime=LIFETIME,
            files={},
        )
        # The key is committed with the mail, so a process that ends before it has noted that does not send it twice.
        key = IdempotencyKey(
            text=f"tls-report {report_id(domain, day, self.submitter)} {sha256(to.encode()).hexdigest()}",
            sandbox=False,
            body_sha256=sha256(packed).digest(),
        )
        taken = await self._journal.intake.accept([replace(request, idempotency=key)])
        return SendResult(True, "accepted before" if taken else f"accepted as {request.message_ids[0]}")
