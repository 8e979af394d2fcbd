"""The journal's part for reading messages: one, a list of them, and the content that composing needs."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

from psycopg import AsyncConnection

from cluster.journal.database import JournalPart, Row, fetch, rows
from cluster.journal.day_tables import span
from cluster.journal.excerpts import without_bodies, without_data
from cluster.journal.expired import stand_in
from cluster.journal.message_filter import MessageFilter
from cluster.journal.records import MessagePage, MessageRow
from cluster.journal.statements import QUERIES
from cluster.policy.lifecycle import UNFINISHED, Status
from cluster.policy.routes.domains import stored_spellings

COUNT_BOUND = 10_000
WHOLE_BYTES = 64 * 1024
"""In a list, a message whose personalization and content are larger than this is read separately, and only what a list
shows is kept of it: a page of the largest messages would take two gigabytes."""
ONE_MESSAGE = QUERIES["messages"].replace(
    "{where}",
    "m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s"
    " AND r.id BETWEEN 'req_' || %(since)s::text AND 'req_' || %(upto)s::text",
)
CONDITIONS = {
    "to_email": "EXISTS (SELECT FROM unnest(m.to_emails) AS t (email)"
    ' WHERE lower(t.email COLLATE "C") = ANY (%(to_email)s::text[]))',
    "from_email": 'lower(m.from_email COLLATE "C") = ANY (%(from_email)s::text[])',
    "subject": "strpos(lower(m.subject), lower(%(subject)s)) > 0",
    "batch_id": "m.batch_id = %(batch_id)s",
    "template_id": "r.template_id = %(template_id)s",
    "category": "%(category)s = ANY (r.categories)",
    "start": "m.created_at >= %(start)s",
    "end": "m.created_at < %(end)s",
    "sends_after": "m.send_at > %(sends_after)s",
    "sends_by": "(m.send_at IS NULL OR m.send_at <= %(sends_by)s)",
    "after": "m.id < %(after)s",
    "down_to": "m.id >= %(down_to)s",
}


class Messages(JournalPart):
    """Reads messages for clients, and their content for delivery actors."""

    async def find(self, tenant_id: str, message_id: str) -> MessageRow | None:
        """A message of this tenant; None when there is none."""
        key = {"tenant_id": tenant_id, "message_id": message_id, "limit": 1, "offset": 0, "whole": 2**31 - 1}
        key |= span([message_id])
        async with self._database.connection() as connection:
            found = await fetch(connection, ONE_MESSAGE, key)
        return _message(found[0]) if found else None

    async def ids_after(self, tenant_id: str, after: str, before: str, limit: int) -> list[str]:
        """The next ids of the tenant's messages, in the order of acceptance."""
        found = await self._database.rows(
            "message_ids_after", tenant_id=tenant_id, after=after, before=before, limit=limit
        )
        return [id for (id,) in found]

    async def tenant_of(self, message_id: str) -> str | None:
        """The tenant of a message; None when there is no such message. For callers that may see every tenant's."""
        found = await self._database.rows("tenant_of_message", message_id=message_id)
        return found[0][0] if found else None

    async def page(self, filter: MessageFilter, limit: int, offset: int) -> MessagePage:
        """A page of the tenant's messages, newest first. Long ones come without bodies, attachments and template data.

        Raises TookTooLong when the search takes longer than ``LONGEST_SEARCH_S``, and Unavailable.
        """
        where, parameters = _where(filter)
        count = QUERIES["count_messages"].replace("{where}", where)
        async with self._database.searching() as connection:
            found = await _found(connection, filter, limit, offset)
            ((total,),) = await fetch(connection, count, {**parameters, "bound": COUNT_BOUND + 1})
        return MessagePage(messages=found, total=min(total, COUNT_BOUND), total_is_exact=total <= COUNT_BOUND)

    async def some(self, filter: MessageFilter, limit: int) -> list[MessageRow]:
        """As ``page``, without a count."""
        async with self._database.searching() as connection:
            return await _found(connection, filter, limit, 0)

    async def mark(self, tenant_id: str, before: str | None, count: int) -> str | None:
        """The id of the last of ``count`` messages older than ``before``, whatever they are; None when there are fewer.
        Reads so many entries of an index."""
        found = await self._database.rows("message_mark", tenant_id=tenant_id, before=before or "~", skip=count - 1)
        return found[0][0] if found else None

    async def contents(self, request_ids: Sequence[str]) -> dict[str, bytes]:
        """The encoded shared content of requests, by request id."""
        found = await self._database.rows("contents", request_ids=list(request_ids), **span(request_ids))
        return dict(found)

    async def pool_of(self, request_id: str) -> str:
        """The pool of sources that a request's messages are sent from; "" is the default pool."""
        found = await self._database.rows("pool_of_request", request_id=request_id)
        return str(found[0][0]) if found else ""

    async def attachments(self, tenant_id: str, hashes: Collection[bytes]) -> dict[bytes, bytes]:
        """The bytes of a tenant's attachments, by their SHA-256."""
        return dict(await self._database.rows("attachments", tenant_id=tenant_id, hashes=list(hashes)))


async def _found(connection: AsyncConnection[Row], filter: MessageFilter, limit: int, offset: int) -> list[MessageRow]:
    where, parameters = _where(filter)
    # The only statement built at run time: from the fixed conditions above, with all values as parameters.
    page = QUERIES["messages"].replace("{where}", where)
    found = await fetch(connection, page, {**parameters, "limit": limit, "offset": offset, "whole": WHOLE_BYTES})
    for index, row in enumerate(found):
        if row[7] is None and not row[14]:
            texts = await rows(connection, "texts", tenant_id=filter.tenant_id, message_id=row[0], **span([row[0]]))
            found[index] = (*row[:7], *await asyncio.to_thread(_shortened, *texts[0]), *row[9:])
    return [_message(row) for row in found]


def _where(filter: MessageFilter) -> tuple[str, dict[str, Any]]:
    conditions = ["m.tenant_id = %(tenant_id)s"]
    parameters: dict[str, Any] = {"tenant_id": filter.tenant_id}
    for name, condition in CONDITIONS.items():
        value = getattr(filter, name)
        if value is not None:
            conditions.append(condition)
            parameters[name] = stored_spellings(value) if name.endswith("_email") else value
    if filter.statuses:
        conditions.append(_status_condition(filter.statuses, parameters))
    return " AND ".join(conditions), parameters


def _status_condition(statuses: Sequence[Status], parameters: dict[str, Any]) -> str:
    """The condition for messages with one of these statuses; its values are added to the parameters."""
    of_each = []
    for number, status in enumerate(statuses):
        name = f"status_{number}"
        parameters[name] = status.value
        if status in UNFINISHED:
            of_each.append(f"o.message_id IS NULL AND q.status = %({name})s::delivery_status")
            continue
        condition = f"o.status = %({name})s::delivery_status"
        if status not in (Status.DELIVERED, Status.SENT):
            # The other statuses are in a partial index, which Postgres uses only with this condition.
            condition += " AND o.status NOT IN ('delivered', 'sent')"
        of_each.append(condition)
    return of_each[0] if len(of_each) == 1 else "(" + " OR ".join(f"({one})" for one in of_each) + ")"


def _shortened(content: bytes, personalization: bytes) -> tuple[bytes, bytes]:
    return without_bodies(content), without_data(personalization)


def _message(row: Row) -> MessageRow:
    content, personalization, is_expired = row[7], row[8], row[14]
    if is_expired:
        from_email, to_emails, categories, template_id = row[15:]
        content, personalization = stand_in(
            from_email=from_email,
            to_emails=to_emails,
            subject=row[6],
            categories=categories,
            template_id=template_id,
        )
    return MessageRow(
        id=row[0],
        tenant_id=row[1],
        request_id=row[2],
        batch_id=row[3],
        created_at=row[4],
        send_at=row[5],
        subject=row[6],
        content=content,
        personalization=personalization,
        status=Status(row[9]),
        retry_count=row[10],
        next_retry_at=row[11],
        finished_at=row[12],
        error_message=row[13],
        content_expired=is_expired,
    )
