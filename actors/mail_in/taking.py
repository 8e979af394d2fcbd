"""Takes a mail: finds its message, and commits the effects with the mail's entry before the mail is answered."""

import asyncio
import logging
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from actors.mail_in.deciding import Decision, decide
from actors.mail_in.forwarding import Forwarding
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.mail_in import ArrivedMail, Effect, MessageGone, NotFinished, ReportedMessage
from cluster.journal.unsubscribing import Action, By
from cluster.mail_in.reading import read_report
from cluster.mail_in.report import Kind, Report
from cluster.message.return_address import Named, Purpose, read_return_address
from cluster.metrics import Counter, Counters
from cluster.printable import printable
from cluster.smtpd.envelope import Answer, ReceivedMessage, ServerReply
from cluster.tracking.tokens import Recipient

log = logging.getLogger(__name__)

BELIEVED_FOR = timedelta(days=30)
"""After the message ended: hosts give up after days; who has an old address may have found it in an archive."""
MOST_ORIGINAL_BYTES = 64 * 1024
"""What is kept of a mail that was not understood."""
LONGEST_WHY = 4000
_AWAY = ServerReply(451, "4.3.0 the mail cannot be stored now")
_NOT_FINISHED = ServerReply(451, "4.3.0 the message that this reports on is still being delivered; try again")
_READING = 4
"""Mails that are parsed at the same time, in threads."""


class Taking:
    """``keys``: those of return addresses, by id. ``feedback``: the addresses, in lower case, that complaints are
    sent to."""

    taken = Counters("postray_mail_in_total", "Mail that came in, by what it was taken for.", "kind", tuple(Kind))
    without_effect = Counter("postray_mail_in_without_effect_total", "Mail that came in and changed nothing.")

    def __init__(
        self,
        journal: Journal,
        keys: Callable[[], Mapping[int, bytes]],
        forwarding: Forwarding | None,
        feedback: Container[str],
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._journal = journal
        self._keys = keys
        self._forwarding = forwarding
        self._feedback = feedback
        self._now = now
        self._reading = asyncio.Semaphore(_READING)

    def may_come_to(self, address: str) -> bool:
        """Whether mail to this address is taken."""
        return address.lower() in self._feedback or read_return_address(address, self._keys()) is not None

    async def take(self, mail: ReceivedMessage) -> Answer:
        """Answers a mail when all that follows from it is on disk."""
        try:
            await self._take_all(mail)
        except Unavailable as error:
            log.warning("mail not taken reason=%r", error.reason)
            return _AWAY
        except NotFinished:
            return _NOT_FINISHED
        return None

    async def _take_all(self, mail: ReceivedMessage) -> None:
        keys = self._keys()
        # An address has more spellings than a mail may have recipients, and reading and keeping it has its price.
        mailboxes: dict[Named | str, str] = {}
        for mailbox in mail.rcpt_to:
            mailboxes.setdefault(read_return_address(mailbox, keys) or mailbox.lower(), mailbox)
        report: Report | None = None
        for whose, mailbox in mailboxes.items():
            named = whose if isinstance(whose, Named) else None
            if named is not None and named.purpose is Purpose.UNSUBSCRIBING:
                await self._unsubscribe(mail, mailbox, named)
                continue
            if report is None:
                async with self._reading:
                    report = await asyncio.to_thread(read_report, mail.content)
            await self._take(mail, mailbox, named, report)

    async def _take(self, mail: ReceivedMessage, mailbox: str, named: Named | None, report: Report) -> None:
        if named is None:
            if report.kind is not Kind.COMPLAINT:
                await self._keep(mail, mailbox, report.kind, (*report.why, "it is no complaint"))
                return
            named = self._named_in(report)
        if named is None:
            await self._keep(mail, mailbox, report.kind, (*report.why, "no address of ours is in it"))
            return
        message = await self._journal.mail_in.message(named.tenant_number, named.message_id)
        if message is None:
            await self._keep_bare(mail, mailbox, report.kind, named.message_id)
            return
        decision = self._decision(report, message, named)
        why = (*report.why, *decision.why)
        changed = await self._keep(mail, mailbox, report.kind, why, message, decision.effects)
        if changed and self._forwarding is not None:
            await self._forwarding.forward(message, report, decision.effects, mail.content)

    def _decision(self, report: Report, message: ReportedMessage, named: Named) -> Decision:
        now = self._now()
        if message.ended_at is not None and message.ended_at < now - BELIEVED_FOR:
            return Decision((), (f"{message.id} ended more than {BELIEVED_FOR.days} days ago",))
        return decide(report, message, named.recipient_no, now)

    async def _unsubscribe(self, mail: ReceivedMessage, mailbox: str, named: Named) -> None:
        message = await self._journal.mail_in.message(named.tenant_number, named.message_id)
        if message is None:
            await self._keep_bare(mail, mailbox, Kind.UNSUBSCRIBE, named.message_id)
            return
        told, why = "", "the address names no recipient of the message"
        if named.recipient_no is not None and named.recipient_no < len(message.recipients):
            email = message.recipients[named.recipient_no]
            recipient = Recipient(
                tenant_number=named.tenant_number,
                message_id=message.id,
                recipient_no=named.recipient_no,
                email=email,
            )
            action = Action.UNSUBSCRIBE_ALL if message.group_id is None else Action.UNSUBSCRIBE_GROUP
            await self._journal.unsubscribing.act(recipient, action, By(), message.group_id)
            told, why = f"{email} unsubscribed", "the address is of List-Unsubscribe"
        await self._keep(mail, mailbox, Kind.UNSUBSCRIBE, (why,), message, told=told)

    def _named_in(self, report: Report) -> Named | None:
        """What a complaint that comes to an address of all complaints is about: the address in what it returns."""
        keys = self._keys()
        found = (read_return_address(sender, keys) for sender in report.returned_ids.senders)
        return next((one for one in found if one is not None), None)

    async def _keep_bare(self, mail: ReceivedMessage, mailbox: str, kind: Kind, message_id: str) -> None:
        """Keep that a mail came about a message that is gone, and no more: what it says of the recipient may have been
        erased (docs/erasure.md)."""
        await self._keep(mail, mailbox, kind, (f"{message_id} is gone",), is_bare=True)

    async def _keep(
        self,
        mail: ReceivedMessage,
        mailbox: str,
        kind: Kind,
        why: Sequence[str],
        message: ReportedMessage | None = None,
        effects: Sequence[Effect] = (),
        told: str = "",
        *,
        is_bare: bool = False,
    ) -> str | None:
        """Keep a mail and do what follows. Arguments and result: see ``MailIn.take``."""
        arrived = ArrivedMail(
            at=self._now(),
            kind=kind,
            why="\n".join(map(printable, why))[:LONGEST_WHY],
            sender="" if is_bare else printable(mail.mail_from),
            mailbox=printable(mailbox),
            recipients=tuple([message.recipients[one.recipient_no] for one in effects]) if message else (),
            size=len(mail.content),
            digest=sha256(mailbox.lower().encode() + b"\0" + mail.content).digest(),
            original=None if effects or told or is_bare else mail.content[:MOST_ORIGINAL_BYTES],
        )
        try:
            changed = await self._journal.mail_in.take(arrived, message, effects, told)
        except MessageGone as gone:
            await self._keep_bare(mail, mailbox, kind, gone.message_id)
            return None
        self.taken[kind] += 1
        if not changed:
            self.without_effect += 1
        log.info("mail in kind=%s message=%s changed=%r", kind, message.id if message else "", changed or "")
        return changed
