"""The journal's part that erases the addresses of a job from messages to others: it searches the tenant's messages and
requests page by page, notes which name an address, and rewrites those once they are finished. A step that is repeated
does nothing.

A message that is still to be sent goes out as it was accepted, so it waits. Texts are read and written in a thread.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct, field

from cluster.journal.database import JournalPart, Row
from cluster.journal.recipient_erasure import EraseJob
from cluster.journal.records import decode_content, decode_personalization, encode
from cluster.message.erased import content_without, personalization_without
from cluster.message.mentions import Mentions
from cluster.webhooks.told import encode_told

PAGE = 200
MOST_OCTETS = 8 * 1024 * 1024
"""Of what is read at once, unless one message or request alone has more."""


class _Part(Struct):
    """Some messages to search, and their requests, each with one of its messages."""

    ids: list[str] = field(default_factory=list)
    requests: dict[str, str] = field(default_factory=dict)
    octets: int = 0


class MentionErasure(JournalPart):
    """Searches and rewrites."""

    async def search(self, job: EraseJob, mentions: Mentions, pause_s: float) -> None:
        """Note what names the addresses, from where the job is. ``pause_s``: after each step."""
        after, last_request = job.searched_to, ""
        while page := await self._database.rows(
            "message_sizes", tenant_id=job.tenant_id, after=after, before=job.before, limit=PAGE
        ):
            for part in _parts(page, last_request):
                await self._search(job, part, mentions)
                await asyncio.sleep(pause_s)
            after, last_request = page[-1][0], page[-1][1]

    async def rewrite(self, job: EraseJob, mentions: Mentions, pause_s: float) -> bool:
        """Erase the addresses from what was noted, as far as it is finished; returns whether all of it is."""
        are_all_finished = True
        after = ""
        while page := await self._database.rows(
            "noted_mentions", tenant_id=job.tenant_id, job_id=job.id, after=after, limit=PAGE
        ):
            for id, is_finished in page:
                if is_finished:
                    await self._rewrite(job, id, mentions)
                    await asyncio.sleep(pause_s)
                else:
                    are_all_finished = False
            after = page[-1][0]
        return are_all_finished

    async def _search(self, job: EraseJob, part: _Part, mentions: Mentions) -> None:
        messages = await self._database.rows("message_texts", tenant_id=job.tenant_id, ids=part.ids)
        requests = await self._database.rows("request_texts", ids=list(part.requests))
        found = await asyncio.to_thread(_changed, messages, requests, mentions)
        await self._database.execute(
            "note_mentions",
            job_id=job.id,
            searched_to=part.ids[-1],
            ids=found,
            message_ids=[part.requests.get(id, id) for id in found],
        )

    async def _rewrite(self, job: EraseJob, id: str, mentions: Mentions) -> None:
        """A message or a request, which may be gone since it was noted."""
        if row := await self._database.row("message_texts", tenant_id=job.tenant_id, ids=[id]):
            new = await asyncio.to_thread(_message_without, row, mentions)
            await self._database.execute("rewrite_message", job_id=job.id, tenant_id=job.tenant_id, id=id, **new)
        elif row := await self._database.row("request_texts", ids=[id]):
            new = await asyncio.to_thread(_request_without, row, mentions)
            await self._database.execute("rewrite_request", job_id=job.id, id=id, **new)
        else:
            await self._database.execute("forget_mention", job_id=job.id, id=id)


def _parts(page: Sequence[Row], searched: str) -> Iterator[_Part]:
    """A page in parts of bounded size. ``searched``: a request that was searched before."""
    part, seen = _Part(), {searched}
    for id, request_id, own, shared in page:
        octets = own if request_id in seen else own + shared
        if part.ids and part.octets + octets > MOST_OCTETS:
            yield part
            part = _Part()
        part.ids.append(id)
        part.octets += octets
        if request_id not in seen:
            seen.add(request_id)
            part.requests[request_id] = id
    yield part


def _changed(messages: Sequence[Row], requests: Sequence[Row], mentions: Mentions) -> list[str]:
    """The ids of those that name an address."""
    return [row[0] for row in messages if _message_without(row, mentions) != _message(row)] + [
        row[0] for row in requests if _request_without(row, mentions) != _request(row)
    ]


def _message(row: Row) -> dict[str, Any]:
    return dict(zip(("personal", "told", "subject", "from_email", "error_message"), row[1:], strict=True))


def _request(row: Row) -> dict[str, Any]:
    return dict(zip(("content", "told"), row[1:], strict=True))


def _message_without(row: Row, mentions: Mentions) -> dict[str, Any]:
    """What a message has of its own, as it is stored, without the addresses."""
    _, data, told, subject, from_email, error_message = row
    # A body that has gone contains no address.
    personal = decode_personalization(data) if data else None
    if personal is not None and (new := personalization_without(personal, mentions)) != personal:
        data, told = encode(new), told and encode_told(new.custom_args, new.headers)
    return {
        "personal": data,
        "told": told,
        "subject": mentions.without(subject),
        "from_email": mentions.without(from_email),
        "error_message": error_message and mentions.without(error_message),
    }


def _request_without(row: Row, mentions: Mentions) -> dict[str, Any]:
    """The same of what the messages of a request share."""
    _, data, told = row
    content = decode_content(data) if data else None
    if content is not None and (new := content_without(content, mentions)) != content:
        data, told = encode(new), told and encode_told(new.custom_args, new.headers)
    return {"content": data, "told": told}
