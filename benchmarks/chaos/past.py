"""Mail of past days, under which the days go (``days.py``).

A new installation has no past: here it gets one, as if it had been there for ``SPAN_DAYS``. Each of these days has
messages that ended on it, and must go with it. Others are of these days and unfinished, with a file each: some due at
once, some scheduled for a time during the storm. They are accepted by the code of the intake, which makes the days that
are missing, and are delivered by postray like all other mail.
"""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random

from benchmarks.chaos import mail
from benchmarks.chaos.carried import file_of, key_of
from benchmarks.chaos.records import SentRequest
from benchmarks.past_mail import begin_on, fill_day, redated
from cluster.ids import new_request_ids
from cluster.journal.journal import Journal, Rejected, Unavailable
from cluster.journal.records import (
    Address,
    Attachment,
    BodyPart,
    Content,
    NewMessage,
    NewRequest,
    PreparedPersonalization,
    Recipient,
    encode,
)

SPAN_DAYS = 40
"""More than retention.messages_days, so that some of these days are of the oldest partition at once."""
ENDED_A_DAY = 300
"""Messages that ended on each of these days."""
ENDED = "chaos-ended"
"""Their category."""
BODY_BYTES = 480
RATE = 2.0
"""Requests a second during the storm."""
MESSAGES = (1, 4)
DUE_SHARE = 0.4
"""Of the requests that are due at once."""
EXPIRES_AFTER = timedelta(hours=1)


def days_until(today: date) -> list[date]:
    """The past days, from the first on."""
    return [today - timedelta(days=back) for back in range(SPAN_DAYS, 0, -1)]


class PastMail:
    """``sent``: its records so far. ``seconds``: of the storm, before whose end all of it is due."""

    def __init__(self, journal: Journal, dsn: str, tenant_id: str, today: date, seconds: float, random: Random) -> None:
        self._journal = journal
        self._dsn = dsn
        self._tenant_id = tenant_id
        self._days = days_until(today)
        self._seconds = seconds
        self._random = random
        self._numbers = mail.FIRST_OF_PAST
        self.sent: list[SentRequest] = []
        self.problems: list[str] = []

    async def before_storm(self) -> None:
        """Give the installation its past: every second day has mail, so that the others are made during the storm."""
        await asyncio.to_thread(begin_on, self._dsn, self._days[0])
        for day in self._days[::2]:
            await self._send(day, self._seconds)
            await asyncio.to_thread(self._fill, day)

    def _fill(self, day: date) -> None:
        fill_day(self._dsn, self._tenant_id, day, ENDED_A_DAY, category=ENDED, body_bytes=BODY_BYTES)

    async def run(self) -> None:
        """Send while the storm lasts."""
        clock = asyncio.get_running_loop().time
        ends = clock() + self._seconds
        while (left_s := ends - clock()) > 0:
            await self._send(self._random.choice(self._days), left_s)
            await asyncio.sleep(1 / RATE)

    async def _send(self, day: date, left_s: float) -> None:
        """Send one request of a day. ``left_s``: of the storm."""
        number, self._numbers = self._numbers, self._numbers + 1
        draft = mail.draw_past(self._random, MESSAGES)
        delay_s = None if self._random.random() < DUE_SHARE else self._random.uniform(1, max(1.0, left_s))
        sent = SentRequest(number=number, recipients=mail.recipients(draft, number), outcome="unanswered", at=0.0)
        request = past_request(self._tenant_id, day, number, sent.recipients, delay_s)
        began = time.monotonic()
        try:
            await self._journal.intake.accept([request])
        except Unavailable as error:
            sent.reason = error.reason
        except Rejected as error:
            self.problems.append(f"mail of {day}: {error.reason}")
        else:
            sent.outcome, sent.message_ids = "accepted", [message.id for message in request.messages]
        sent.at, sent.took_s = time.time(), round(time.monotonic() - began, 3)
        self.sent.append(sent)


def past_request(
    tenant_id: str, day: date, number: int, recipients: Sequence[Sequence[str]], delay_s: float | None
) -> NewRequest:
    """A request that was accepted at noon of a past day, with a file."""
    now = datetime.now(UTC)
    file = file_of(key_of(number))
    sha256 = hashlib.sha256(file).digest()
    request_id, ids = new_request_ids(len(recipients))
    content = Content(
        from_=Address(mail.FROM["email"], mail.FROM["name"]),
        subject=f"Message {number} of {day}",
        parts=(BodyPart("text/plain", mail.TEXT), BodyPart("text/html", mail.HTML)),
        attachments=(Attachment(filename=f"{key_of(number)}.bin", sha256=sha256, size=len(file)),),
        categories=(f"{mail.CATEGORY}{number}",),
    )
    send_at = None if delay_s is None else now + timedelta(seconds=delay_s)
    request = NewRequest(
        id=request_id,
        tenant_id=tenant_id,
        content=encode(content),
        categories=content.categories,
        attachments={sha256: file},
        created_at=now,
        messages=tuple(
            NewMessage(
                id=id,
                subject=content.subject,
                from_email=content.from_.email,
                to_emails=tuple(emails),
                personalization=encode(PreparedPersonalization(to=tuple(map(Address, emails)))),
                recipients=tuple(Recipient(email, email.partition("@")[2]) for email in emails),
                send_at=send_at,
                expires_at=now + EXPIRES_AFTER,
            )
            for id, emails in zip(ids, recipients, strict=True)
        ),
    )
    return redated(request, day)
