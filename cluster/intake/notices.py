"""postray's own mail, such as that an endpoint of webhooks was disabled: a message of the tenant that has the sender's
domain, committed like any other. So it is signed, retried, and listed among that tenant's messages. Its bounces and
complaints do not count for the tenant, whose recipients it does not go to.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256

from msgspec import Struct

from cluster.intake.prepared import prepared_request
from cluster.intake.senders import tenant_of_sender
from cluster.journal.journal import Journal
from cluster.journal.records import NOTICE, Address, Attachment, BodyPart, Content, PreparedPersonalization
from cluster.message.header_fields import one_line
from cluster.policy.routes.domains import spelled

log = logging.getLogger(__name__)

LIFETIME = timedelta(days=1)


class NoticeFile(Struct, frozen=True):
    """A file that a notice comes with."""

    name: str
    type: str
    """The media type."""
    content: bytes


class Notices:
    """Sends plain text from one address. ``now`` is the time."""

    def __init__(self, journal: Journal, sender: str, *, now: Callable[[], datetime]) -> None:
        self._journal = journal
        self._sender = spelled(sender)
        self._now = now

    async def send(self, to: str, subject: str, text: str, file: NoticeFile | None = None) -> bool:
        """Commit a notice. Returns False when no tenant may send from the sender's address, which is logged. Raises
        Unavailable, Rejected."""
        tenant_id = await tenant_of_sender(self._journal, self._sender)
        if tenant_id is None:
            log.warning("notice not sent: the domain of its sender is not verified sender=%s to=%s", self._sender, to)
            return False
        files = {sha256(file.content).digest(): file.content} if file is not None else {}
        content = Content(
            from_=Address(self._sender),
            subject=one_line(subject),
            parts=(BodyPart("text/plain", text),),
            attachments=tuple(
                Attachment(filename=file.name, type=file.type, sha256=hash, size=len(data))
                for hash, data in files.items()
                if file is not None
            ),
            categories=(NOTICE,),
        )
        request = prepared_request(
            content,
            [PreparedPersonalization(to=(Address(spelled(to)),), is_notice=True)],
            [None],
            tenant_id=tenant_id,
            now=self._now(),
            lifetime=LIFETIME,
            files=files,
        )
        await self._journal.intake.accept([request])
        return True
