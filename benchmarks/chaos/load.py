"""The load: a stream of sends and cancels to the API, and of messages submitted by SMTP, by a correct client that
records every answer.

A request that was refused or could not be sent is sent again later, as a new request with a new number. One without an
answer is not, as it may have been accepted: the journal shows it in the end (``facts.py``). A submitted message
is the same each time, as mail programs do it: its Message-ID tells postray that it may have it already.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from random import Random

from benchmarks.chaos import mail
from benchmarks.chaos.records import Cancel, SentRequest
from benchmarks.chaos.submitting import Refused, Submitting
from benchmarks.client import Client, HttpAnswer, NotSent, Unanswered

AT_ONCE = 64
"""Requests in progress; at this number the stream waits."""
CANCELLED_SHARE = 0.08
CANCEL_WITHIN_S = 3.0
LONGEST_WAIT_S = 2.0
"""The maximum for Retry-After: a run is short."""
CONNECT_WAIT_S = 0.3
SUBMIT_WAIT_S = 1.0
SUBMITTED_AGAIN_SHARE = 0.1
"""Of what was accepted."""
MAX_WAIT_S = 30.0
"""How long a refused request is retried."""
BATCH_REQUESTS = 8
"""Roughly the number of requests that share a batch."""


class LoadStream:
    """One stream. ``sent`` and ``cancels`` are its records so far."""

    def __init__(self, client: Client, submitting: Submitting, rate: float, random: Random, group_id: int) -> None:
        """``rate``: messages a second. ``group_id``: the unsubscribe group of half of the tracked mail."""
        self._submitting = submitting
        self._group_id = group_id
        self._client = client
        self._rate = rate
        self._random = random
        self._numbers = 0
        self._batch_id: str | None = None
        self._batch_uses = 0
        self.sent: list[SentRequest] = []
        self.cancels: list[Cancel] = []
        self.problems: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def promised(self) -> int:
        """Messages accepted with a 202 or a 250."""
        return sum(len(sent.message_ids) for sent in self.sent)

    async def run(self, seconds: float, goes_on: Callable[[], bool]) -> None:
        """Send for ``seconds``, and as long as it ``goes_on``; returns when every request has ended."""
        clock = asyncio.get_running_loop().time
        places = asyncio.Semaphore(AT_ONCE)
        due = began = clock()
        try:
            while clock() - began < seconds or goes_on():
                draft = mail.draw(self._random)
                # The stream does not catch up: otherwise the requests delayed by an outage would come as one burst.
                due = max(due, clock() - 1.0) + draft.messages / self._rate
                await places.acquire()
                self._spawn(draft, places)
                await asyncio.sleep(max(0.0, due - clock()))
            await asyncio.gather(*self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()

    async def poison(self) -> None:
        """Send a message that kills every actor that composes it."""
        await self._send(mail.poison())

    def _spawn(self, draft: mail.RequestDraft, places: asyncio.Semaphore) -> None:
        task = asyncio.create_task(self._submit(draft) if draft.submitted else self._send(draft))
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            places.release()
            if not task.cancelled() and (error := task.exception()) is not None:
                self.problems.append(f"load generator: {error!r}")

        task.add_done_callback(ended)

    async def _send(self, draft: mail.RequestDraft) -> None:
        """Send until it is accepted, or may have been; then possibly cancel some of it."""
        deadline = time.monotonic() + MAX_WAIT_S
        while True:
            sent, wait_s = await self._attempt(draft)
            self.sent.append(sent)
            if sent.outcome in ("accepted", "unanswered") or time.monotonic() > deadline:
                break
            await asyncio.sleep(wait_s)
        share = 0.0 if draft.poison else CANCELLED_SHARE
        unwanted = [message_id for message_id in sent.message_ids if self._random.random() < share]
        await asyncio.gather(*map(self._cancel, unwanted))

    async def _attempt(self, draft: mail.RequestDraft) -> tuple[SentRequest, float]:
        """One request; returns also how long to wait before a retry, if one is needed."""
        number, self._numbers = self._numbers, self._numbers + 1
        batch_id = await self._batch() if draft.batch else None
        sent = SentRequest(number=number, recipients=mail.recipients(draft, number), outcome="not sent", at=0.0)
        wait_s = CONNECT_WAIT_S
        began = time.monotonic()
        try:
            body = mail.body(draft, number, now=time.time(), batch_id=batch_id, group_id=self._group_id)
            answer = await self._client.post("/v3/mail/send", body)
        except NotSent as error:
            sent.reason = str(error)
        except Unanswered as error:
            sent.outcome, sent.reason = "unanswered", str(error)
        else:
            sent.status = answer.status
            if answer.status == 202:
                sent.outcome, sent.message_ids = "accepted", _ids(answer)
            else:
                sent.outcome = "refused"
                wait_s = min(float(answer.headers.get("retry-after", "1")), LONGEST_WAIT_S)
                if answer.status not in (429, 503):
                    self.problems.append(f"request {number}: {answer.status} {answer.body[:300]!r}")
        sent.at = time.time()
        sent.took_s = round(time.monotonic() - began, 3)
        return sent, wait_s

    async def _submit(self, draft: mail.RequestDraft) -> None:
        """Submit a message by SMTP until it is answered with 250, the same octets each time; and some once more."""
        number, self._numbers = self._numbers, self._numbers + 1
        batch_id = await self._batch() if draft.batch else None
        [recipients] = mail.recipients(draft, number)
        sent = SentRequest(number=number, recipients=[recipients], outcome="not sent", at=0.0, submitted=True, tries=0)
        self.sent.append(sent)
        message = mail.submission(draft, number, now=time.time(), batch_id=batch_id)
        began = time.monotonic()
        while sent.outcome != "accepted" and time.monotonic() < began + MAX_WAIT_S:
            await asyncio.sleep(await self._submit_once(sent, recipients, message))
        sent.took_s = round(time.monotonic() - began, 3)
        if sent.outcome == "accepted" and self._random.random() < SUBMITTED_AGAIN_SHARE:
            first = sent.message_ids
            await self._submit_once(sent, recipients, message)
            if sent.message_ids != first:
                self.problems.append(f"submission {number}: accepted as {first}, and then as {sent.message_ids}")

    async def _submit_once(self, sent: SentRequest, recipients: Sequence[str], message: bytes) -> float:
        """Returns how long to wait before a retry, in seconds. What may have been accepted once stays so."""
        sent.tries += 1
        try:
            message_id = await self._submitting.submit(mail.FROM["email"], recipients, message)
        except NotSent as error:
            sent.reason = str(error)
            return CONNECT_WAIT_S
        except Unanswered as error:
            sent.reason = str(error)
            if sent.outcome != "accepted":
                sent.outcome = "unanswered"
        except Refused as error:
            sent.reason = str(error)
            if sent.outcome == "not sent":
                sent.outcome, sent.status = "refused", error.code
            if error.code >= 500:
                self.problems.append(f"submission {sent.number}: {error}")
        else:
            sent.outcome, sent.status, sent.message_ids, sent.at = "accepted", 250, [message_id], time.time()
            return 0.0
        return SUBMIT_WAIT_S

    async def _batch(self) -> str | None:
        """A batch to send in, sometimes a new one; None when none can be created now."""
        self._batch_uses += 1
        if self._batch_id is None or self._batch_uses > BATCH_REQUESTS:
            self._batch_uses = 0
            try:
                answer = await self._client.post("/v3/mail/batch")
            except (NotSent, Unanswered):
                return self._batch_id
            if answer.status == 201:
                self._batch_id = answer.json()["batch_id"]
        return self._batch_id

    async def _cancel(self, message_id: str) -> None:
        await asyncio.sleep(self._random.uniform(0, CANCEL_WITHIN_S))
        status, reason, began = 0, "", time.monotonic()
        try:
            answer = await self._client.post(f"/v3/messages/{message_id}/cancel")
        except (NotSent, Unanswered) as error:
            reason = str(error)
        else:
            status = answer.status
            if status not in (200, 409, 429, 503):
                self.problems.append(f"cancel of {message_id}: {status} {answer.body[:300]!r}")
        self.cancels.append(
            Cancel(
                message_id=message_id,
                status=status,
                reason=reason,
                took_s=round(time.monotonic() - began, 3),
                at=time.time(),
            )
        )


def _ids(answer: HttpAnswer) -> list[str]:
    body = answer.json()
    return list(body["message_ids"]) if "message_ids" in body else [body["message_id"]]
