"""Sends reports on to the tenants that ask for it (mail settings ``forward_bounce`` and ``forward_spam``).

A forwarded report is a message of ours with the report attached. Reports on such messages are not forwarded again, and
each tenant gets only so many an hour.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

from cluster.intake.notices import NoticeFile, Notices
from cluster.journal.journal import Rejected, Unavailable
from cluster.journal.mail_in import Effect, Failure, ReportedMessage
from cluster.mail_in.report import Kind, Report
from cluster.message.dsn import original_address
from cluster.message.header_fields import NotComposable
from cluster.printable import printable
from cluster.suppression.address import compared

log = logging.getLogger(__name__)

MOST_AN_HOUR = 100
"""Of one tenant."""
_TENANTS_KEPT = 10_000
_HOUR_S = 3600.0


class Forwarding:
    """``clock``: monotonic seconds."""

    def __init__(self, notices: Notices, *, clock: Callable[[], float]) -> None:
        self._notices = notices
        self._clock = clock
        self._sent: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """By tenant: when its hour began, and how many it got."""

    async def forward(
        self, message: ReportedMessage, report: Report, effects: Sequence[Effect], original: bytes
    ) -> None:
        """Send the report on, if the tenant asks for it. ``effects``: what followed from it. A failure is logged: the
        report itself has taken effect."""
        if message.is_notice:
            return
        settings = message.settings
        wanted = settings.forward_spam if report.kind is Kind.COMPLAINT else settings.forward_bounce
        if not wanted.enabled or report.kind not in (Kind.COMPLAINT, Kind.FAILED):
            return
        about = _told(message, effects) if report.kind is Kind.FAILED else ""
        if about is None:
            return
        what = "spam report" if report.kind is Kind.COMPLAINT else "bounce"
        for email in filter(None, map(str.strip, wanted.email.split(","))):
            if not self._may(message.tenant_id):
                log.warning("report not forwarded: too many this hour tenant=%s", message.tenant_id)
                return
            try:
                await self._notices.send(
                    email,
                    f"{what}: {message.subject}",
                    f"This {what} is about your message {message.id}.\n{about}",
                    NoticeFile("report.eml", "message/rfc822", original),
                )
            except (Unavailable, Rejected, NotComposable) as error:
                log.warning("report not forwarded tenant=%s reason=%r", message.tenant_id, str(error))

    def _may(self, tenant_id: str) -> bool:
        now = self._clock()
        began, count = self._sent.pop(tenant_id, (now, 0))
        if now - began >= _HOUR_S:
            began, count = now, 0
        self._sent[tenant_id] = (began, count + 1)
        while len(self._sent) > _TENANTS_KEPT:
            self._sent.popitem(last=False)
        return count < MOST_AN_HOUR


def _told(message: ReportedMessage, effects: Sequence[Effect]) -> str | None:
    """What a forwarded bounce says beside the report: how the submitter named the message and its recipients (RFC 3461
    §4.2, §4.4), also where the host does not return it. None: the submitter wants no report of any of them
    (NOTIFY=NEVER)."""
    asked = message.dsn
    if asked is None:
        return ""
    recipients = [compared(message.recipients[one.recipient_no]) for one in effects if isinstance(one, Failure)]
    if recipients and all(one in asked.never for one in recipients):
        return None
    lines = [f"Envelope id: {asked.envelope_id}"] if asked.envelope_id else []
    originals = [asked.original_recipients[one] for one in recipients if one in asked.original_recipients]
    lines += [f"Original recipient: {original_address(one)}" for one in originals]
    return "".join([f"{printable(line)}\n" for line in lines])
