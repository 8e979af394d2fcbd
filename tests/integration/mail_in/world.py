"""An actor of mail in over a real journal, and reports sent to it over SMTP."""

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiosmtplib
from msgspec import Struct

from actors.mail_in.forwarding import Forwarding
from actors.mail_in.server import MailInServer
from actors.mail_in.taking import Taking
from cluster.intake.notices import Notices
from cluster.journal.journal import Journal
from cluster.message.return_address import Named, Purpose, return_address
from cluster.settings import BounceSettings
from cluster.smtpd import certificate
from tests.tracking import token_keys

HOST = "bounces.example.com"
FEEDBACK = "fbl@bounces.example.com"


class MailInWorld(Struct):
    journal: Journal
    server: MailInServer
    taking: Taking
    port: int

    def address(
        self, message_id: str, recipient_no: int | None = 0, purpose: Purpose = Purpose.REPORTS, tenant: int = 1
    ) -> str:
        named = Named(purpose=purpose, tenant_number=tenant, message_id=message_id, recipient_no=recipient_no)
        return return_address(self.server.keys.newest, named, HOST)

    async def send(self, to: str | list[str], mail: bytes, sender: str = "") -> aiosmtplib.SMTP:
        """Send a mail as a host does. Raises aiosmtplib.SMTPException where it is refused."""
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=self.port, start_tls=True, validate_certs=False)
        async with client:
            await client.sendmail(sender, to, mail)
        return client


@contextlib.asynccontextmanager
async def a_world(
    journal: Journal, folder: Path, notices_from: str = "", port: int = 0, node_id: str = "n0"
) -> AsyncIterator[MailInWorld]:
    settings = BounceSettings(bind=f"127.0.0.1:{port}", complaint_addresses=(FEEDBACK,))
    keys = token_keys(journal)

    def now() -> datetime:
        return datetime.now(UTC)

    forwarding = None
    if notices_from:
        forwarding = Forwarding(Notices(journal, notices_from, now=now), clock=lambda: 0.0)
    taking = Taking(journal, lambda: keys.by_id, forwarding, {FEEDBACK}, now=now)
    server = MailInServer(
        settings,
        HOST,
        taking,
        keys,
        lambda: certificate.certificate_of(HOST, folder),
        is_draining=lambda: journal.membership.is_draining(node_id),
        tell_closed=lambda: journal.membership.tell_closed(node_id, "mail_in-0-0"),
    )
    await server.start()
    try:
        yield MailInWorld(journal, server, taking, server.port)
    finally:
        await server.stop()


def a_report(
    recipient: str,
    *,
    action: str = "failed",
    status: str = "5.1.1",
    diagnostic: str = "smtp; 550 5.1.1 No such user",
    returned: str = "",
    remote_mta: str = "mail.example.net",
    original: str = "",
) -> bytes:
    """A report on delivery (RFC 3464)."""
    remote = f"Remote-MTA: dns; {remote_mta}\n" if remote_mta else ""
    original_recipient = f"Original-Recipient: rfc822; {original}\n" if original else ""
    return f"""\
From: Mail Delivery System <mailer-daemon@mx.example.net>
To: sender
Subject: Undelivered mail
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

--b1
Content-Type: text/plain

The message could not be delivered.

--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net

{original_recipient}Final-Recipient: rfc822; {recipient}
Action: {action}
Status: {status}
{remote}Diagnostic-Code: {diagnostic}

--b1
Content-Type: text/rfc822-headers

{returned}From: hello@mail.example.com
Subject: Welcome

--b1--
""".replace("\n", "\r\n").encode()


def a_complaint(return_path: str, recipient: str = "", feedback_type: str = "abuse") -> bytes:
    """A complaint (RFC 5965)."""
    rcpt = f"Original-Rcpt-To: <{recipient}>\n" if recipient else ""
    return f"""\
From: feedback@provider.example
To: {FEEDBACK}
Subject: complaint
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b1"

--b1
Content-Type: text/plain

This is an abuse report.

--b1
Content-Type: message/feedback-report

Feedback-Type: {feedback_type}
User-Agent: Provider/1.0
Version: 1
Source-IP: 198.51.100.7
Original-Mail-From: <{return_path}>
{rcpt}
--b1
Content-Type: message/rfc822

Return-Path: <{return_path}>
From: hello@mail.example.com
Subject: Welcome

Hello

--b1--
""".replace("\n", "\r\n").encode()
