"""The journal's part for mail that comes in: what came, and what follows for the messages that it is about.

What follows is committed together with the entry of the mail, and each change has its own condition, so a report that
comes twice changes nothing more.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from psycopg import AsyncConnection

from cluster.events import Bounced, Deferred, Event, SpamReported
from cluster.ids import new_id
from cluster.journal.database import JournalPart, Row, execute, rows
from cluster.journal.day_tables import span
from cluster.journal.ending import tally
from cluster.journal.event_log import append
from cluster.journal.excerpts import decode_report_terms
from cluster.journal.records import Outcome, is_own_mail
from cluster.journal.suppressions import NewSuppression, suppress
from cluster.message.dsn import Dsn
from cluster.policy.lifecycle import UNFINISHED, Status, Transition, after, can, fold
from cluster.policy.replies.bounce_class import BounceType
from cluster.suppression.lists import SuppressionList
from cluster.tenancy import settings
from cluster.tenancy.settings import TenantSettings

_LAST_ID = 2**63 - 1


class NotFinished(Exception):
    """A report of failure came before its delivery had an outcome: the host's answer was lost or is not stored yet."""


class MessageGone(Exception):
    """The message was erased since it was looked up."""

    def __init__(self, message_id: str) -> None:
        super().__init__(message_id)
        self.message_id = message_id


class ReportedMessage(Struct, frozen=True, kw_only=True):
    """A message that an address names."""

    id: str
    tenant_id: str
    settings: TenantSettings
    batch_id: str | None
    categories: tuple[str, ...]
    recipients: tuple[str, ...]
    ended_at: datetime | None
    """None: not all of its deliveries have ended."""
    subject: str
    group_id: int | None
    dsn: Dsn | None = None
    """What its submitter asked for in the envelope (RFC 3461)."""
    is_notice: bool = False
    """It is postray's own mail."""
    is_expired: bool = False
    """Its body has gone, and with it what its submitter asked for."""


class ArrivedMail(Struct, frozen=True, kw_only=True):
    """One mail that came, and what it was taken for."""

    at: datetime
    kind: str
    why: str
    sender: str
    mailbox: str
    recipients: tuple[str, ...] = ()
    """Those that it is about."""
    size: int
    digest: bytes
    original: bytes | None = None
    """What was not understood, cut."""


class Failure(Struct, frozen=True, kw_only=True):
    """A host will not deliver to this recipient, although it had accepted the message."""

    recipient_no: int
    bounce_type: BounceType
    bounce_class: str
    reason: str
    response: str
    """The reply of the host that refused (RFC 3464 §2.3.6)."""
    reporter: str
    """The host that refused, or else that reports."""
    listed: NewSuppression | None
    """The entry of the suppression list that it feeds."""


class Delay(Struct, frozen=True, kw_only=True):
    """A host has not delivered to this recipient yet, and goes on trying."""

    recipient_no: int
    bounce_class: str
    reason: str
    response: str
    reporter: str
    until: datetime | None
    """How long it goes on, if it says so."""


class Complaint(Struct, frozen=True, kw_only=True):
    """This recipient reported the message as spam."""

    recipient_no: int
    reason: str
    ip: str = ""
    """The address that the message was sent from, if the report says it."""


Effect = Failure | Delay | Complaint


class KeptMail(Struct, frozen=True, kw_only=True):
    """A mail that came, for operators."""

    id: int
    at: datetime
    kind: str
    effect: str
    """What followed; "" is nothing."""
    why: str
    sender: str
    mailbox: str
    tenant_id: str | None
    message_id: str | None
    recipients: list[str]
    size: int
    has_original: bool


class MailIn(JournalPart):
    """Finds what mail is about, keeps it, and does what follows from it."""

    async def message(self, tenant_number: int, message_id: str) -> ReportedMessage | None:
        """The message; None when it or its tenant is gone."""
        row = await self._database.row(
            "reported_message", tenant_number=tenant_number, message_id=message_id, **span([message_id])
        )
        if row is None:
            return None
        tenant_id, set_, batch_id, categories, recipients, ended_at, subject, group_id, key_id, personal = row
        terms = decode_report_terms(personal)
        is_expired = not personal
        return ReportedMessage(
            id=message_id,
            tenant_id=tenant_id,
            settings=settings.decode(set_),
            batch_id=batch_id,
            categories=tuple(categories),
            recipients=tuple(recipients),
            ended_at=ended_at,
            subject=subject,
            group_id=group_id,
            dsn=terms.dsn,
            is_notice=is_own_mail(categories, key_id) if is_expired else terms.is_notice,
            is_expired=is_expired,
        )

    async def take(
        self, mail: ArrivedMail, message: ReportedMessage | None = None, effects: Sequence[Effect] = (), told: str = ""
    ) -> str | None:
        """Keep a mail, and do what follows from it; returns what changed, "" for nothing, None when the same mail came
        before. ``told``: what has changed already. Raises NotFinished and MessageGone, and then nothing is kept."""
        async with self._database.transaction() as connection:
            if message is not None:
                # An erasure of the message waits for this transaction, and then erases what it keeps.
                key = {"tenant_id": message.tenant_id, "message_id": message.id}
                if not await rows(connection, "lock_message", **key, **span([message.id])):
                    raise MessageGone(message.id)
            kept = await rows(
                connection,
                "keep_mail_in",
                at=mail.at,
                kind=mail.kind,
                why=mail.why,
                sender=mail.sender,
                mailbox=mail.mailbox,
                tenant_id=message and message.tenant_id,
                message_id=message and message.id,
                recipients=list(mail.recipients),
                size=mail.size,
                digest=mail.digest,
                original=mail.original,
            )
            if not kept:
                return None
            done = [told] if told else []
            if message is not None and effects:
                [ended_at] = (await rows(connection, "ended_at", **key) or [(None,)])[0]
                took: list[Effect] = []
                for effect in effects:
                    if said := await self._do(connection, message, effect, mail.at):
                        done.append(said)
                        took.append(effect)
                if not message.is_notice:
                    await self._count(connection, message, took, ended_at)
            changed = ", ".join(done)
            if changed:
                await execute(connection, "tell_effect", id=kept[0][0], effect=changed)
        return changed

    async def confirm(self, limit: int) -> int:
        """Count messages as delivered on which no report came in their time; returns how many."""
        async with self._database.transaction() as connection:
            await execute(connection, "prolong_windows")
            found = await rows(connection, "confirm", limit=limit)
            changes = [
                change
                for batch_id, messages in found
                if batch_id is not None
                for change in ((batch_id, Status.SENT, -messages), (batch_id, Status.DELIVERED, messages))
            ]
            await tally(connection, self._database.shard, changes)
        return sum(messages for _, messages in found)

    async def page(
        self, limit: int, before: int | None = None, kind: str | None = None, message_id: str | None = None
    ) -> list[KeptMail]:
        """What came, the newest first: with ids below ``before``, of this kind, about this message."""
        found = await self._database.rows(
            "mail_in_page",
            limit=limit,
            before=_LAST_ID if before is None else before,
            kind=kind,
            message_id=message_id,
        )
        names = KeptMail.__struct_fields__
        return [KeptMail(**dict(zip(names, row, strict=True))) for row in found]

    async def originals(self, ids: Sequence[int]) -> dict[int, bytes]:
        """What came, cut, of those that were not understood and are still kept, by id."""
        return dict(await self._database.rows("mail_in_originals", ids=list(ids)))

    async def forget(self, keep: timedelta, most: int, limit: int) -> int:
        """Forget at most ``limit`` of the mails that are older, or more than ``most``; returns how many."""
        before = datetime.now(UTC) - keep
        return await self._database.execute("forget_mail_in", before=before, most=most, limit=limit)

    async def _do(
        self, connection: AsyncConnection[Row], message: ReportedMessage, effect: Effect, at: datetime
    ) -> str:
        """Do what follows for one recipient; returns what changed."""
        recipient = message.recipients[effect.recipient_no]
        facts: dict[str, Any] = {
            "id": new_id("evt_"),
            "at": at.timestamp(),
            "tenant_id": message.tenant_id,
            "message_id": message.id,
            "recipient": recipient,
            "batch_id": message.batch_id,
            "categories": message.categories,
        }
        key = {"tenant_id": message.tenant_id, "message_id": message.id}
        match effect:
            case Failure():
                attempt = await self._return(connection, message, effect, at)
                if attempt is None:
                    return ""
                await append(connection, [_bounced(effect, facts, attempt)])
                if effect.listed is not None:
                    await suppress(connection, [effect.listed])
                return f"{recipient} bounced"
            case Delay():
                if not (attempt := await self._attempt(connection, key, effect.recipient_no)):
                    return ""
                await append(connection, [_deferred(effect, facts, attempt)])
                return f"{recipient} delayed"
            case Complaint():
                if not await rows(connection, "complain", recipient_no=effect.recipient_no, at=at, **key):
                    return ""
                if not message.is_notice:
                    entry = NewSuppression(
                        tenant_id=message.tenant_id,
                        email=recipient,
                        list=SuppressionList.SPAM_REPORTS,
                        created_at=at,
                        reason=effect.reason,
                        ip=effect.ip,
                    )
                    await suppress(connection, [entry])
                event: Event = SpamReported(reason=effect.reason, **facts)
                await append(connection, [event])
                return f"{recipient} complained"

    async def _count(
        self,
        connection: AsyncConnection[Row],
        message: ReportedMessage,
        took: Sequence[Effect],
        ended_at: datetime | None,
    ) -> None:
        """Count what changed for the tenant's rates. ``ended_at``: when the message ended, None before."""
        hard = sum(isinstance(effect, Failure) and effect.bounce_type == "hard" for effect in took)
        complaints = sum(isinstance(effect, Complaint) for effect in took)
        if hard or complaints:
            await execute(
                connection,
                "count_reports",
                shard=self._database.shard,
                tenant_id=message.tenant_id,
                hard=hard,
                complaints=complaints,
                ended_at=ended_at,
            )

    async def _return(
        self, connection: AsyncConnection[Row], message: ReportedMessage, failure: Failure, at: datetime
    ) -> int | None:
        """Bounce one recipient who counted as having the message; returns the attempts, None when there is none. Raises
        NotFinished."""
        key = {"tenant_id": message.tenant_id, "message_id": message.id}
        found = await rows(
            connection, "return_one_of_many", recipient_no=failure.recipient_no, reason=failure.reason, **key
        )
        if found:
            return int(found[0][0])
        # Before the outcome: a delivery that ends meanwhile leaves its outcome in the same transaction.
        state = await rows(connection, "state_of_delivery", recipient_no=failure.recipient_no, **key)
        if state and Status(state[0][0]) in UNFINISHED:
            raise NotFinished
        outcome = await rows(connection, "lock_outcome", **key)
        if not outcome:
            return None
        former, ends, retries = Status(outcome[0][0]), outcome[0][1], outcome[0][2]
        statuses = list(map(Status, ends or [former] * len(message.recipients)))
        if not can(statuses[failure.recipient_no], Transition.RETURNED):
            return None
        statuses[failure.recipient_no] = after(statuses[failure.recipient_no], Transition.RETURNED)
        whole = fold(statuses)
        await execute(
            connection,
            "return_outcome",
            recipients=[status.value for status in statuses] if len(set(statuses)) > 1 else None,
            status=whole.value,
            at=at,
            reason=failure.reason,
            **key,
        )
        if whole is not former and message.batch_id is not None:
            changes = [(message.batch_id, former, -1), (message.batch_id, whole, 1)]
            await tally(connection, self._database.shard, changes, at)
        return int(retries) + 1

    async def _attempt(self, connection: AsyncConnection[Row], key: dict[str, str], recipient_no: int) -> int | None:
        """The attempts at a recipient who counts as having the message; None for another."""
        outcome = await rows(connection, "lock_outcome", **key)
        if not outcome:
            states = await rows(connection, "lock_states", **key)
            has_it = any(no == recipient_no and can(Status(state), Transition.RETURNED) for no, _, state, _ in states)
            return 1 if has_it else None
        status, ends, retries = outcome[0]
        return int(retries) + 1 if can(Status(ends[recipient_no] if ends else status), Transition.RETURNED) else None


def _bounced(failure: Failure, facts: dict[str, Any], attempt: int) -> Event:
    return Bounced(
        attempt=attempt,
        mx_host=failure.reporter,
        smtp_response=failure.response,
        bounce_type=failure.bounce_type,
        bounce_class=failure.bounce_class,
        reason=failure.reason,
        **facts,
    )


def _deferred(delay: Delay, facts: dict[str, Any], attempt: int) -> Event:
    until = delay.until.timestamp() if delay.until is not None else facts["at"]
    return Deferred(
        attempt=attempt,
        mx_host=delay.reporter,
        smtp_response=delay.response,
        bounce_class=delay.bounce_class,
        reason=delay.reason,
        next_attempt_at=until,
        **facts,
    )


async def open_windows(
    connection: AsyncConnection[Row], outcomes: Sequence[Outcome], window_s: float, at: datetime
) -> None:
    """Messages that hosts took count as sent until no report has come for ``window_s``."""
    sent = {outcome.message_id: outcome.tenant_id for outcome in outcomes if outcome.status is Status.SENT}
    if sent:
        due_at = at + timedelta(seconds=window_s)
        tenant_ids, message_ids = list(sent.values()), list(sent)
        await execute(
            connection, "open_windows", tenant_ids=tenant_ids, message_ids=message_ids, due_at=due_at, **span(sent)
        )
