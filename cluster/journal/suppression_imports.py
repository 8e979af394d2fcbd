"""The journal's part for uploaded suppression lists: chunks of the upload, and their working in, one in a transaction.

What a transaction works in, it counts, and it removes the chunk, so a process may end between any two statements.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from cluster.ids import new_id
from cluster.journal.database import JournalPart, Rejected, Row, execute, rows
from cluster.journal.suppressions import NewSuppression, suppress
from cluster.suppression.imported import BadHeader, LineFault, Part, Progress, read
from cluster.suppression.lists import SuppressionList

MOST_UNFINISHED = 10
"""Of a tenant."""
MOST_FAULTS = 1000
"""That are kept of an upload; all are counted."""
UPLOAD_S = 24 * 3600.0
"""What has not arrived by then is dropped."""
KEPT_S = 30 * 24 * 3600.0
"""How long what became of an upload can be read."""

_encode = msgspec.msgpack.Encoder().encode
_progress = msgspec.msgpack.Decoder(Progress)
_faults = msgspec.json.Decoder(list[LineFault])


class Import(Struct, frozen=True, kw_only=True):
    """An uploaded list, and what became of it."""

    id: str
    list: SuppressionList
    status: str
    """``uploading``, ``pending``, ``done`` or ``failed``."""
    lines: int
    """Worked in so far, without the header and empty lines."""
    added: int
    known: int
    """Of addresses that were on the list, or came twice."""
    faulty: int
    faults: Sequence[LineFault]
    """The first of them."""
    error: str
    created_at: datetime
    finished_at: datetime | None
    progress: float
    """0 to 1."""


class SuppressionImports(JournalPart):
    """Takes uploads and works them in."""

    async def begin(self, tenant_id: str, list: SuppressionList) -> str | None:
        """The id of a new upload; None when the tenant has ``MOST_UNFINISHED``."""
        id = new_id("imp_")
        begun = await self._database.execute(
            "begin_import", id=id, tenant_id=tenant_id, list=list.value, most=MOST_UNFINISHED
        )
        return id if begun else None

    async def add(self, id: str, number: int, content: bytes) -> None:
        """The next chunk of an upload. Raises Rejected when the upload is gone."""
        await self._database.execute("add_import_chunk", id=id, number=number, content=content)

    async def end(self, id: str, chunks: int) -> bool:
        """The upload is complete; returns False when it is gone."""
        return await self._database.execute("end_upload", id=id, chunks=chunks) > 0

    async def drop(self, id: str) -> None:
        """Forget an upload that did not end well."""
        await self._database.execute("drop_upload", id=id)

    async def find(self, tenant_id: str, list: SuppressionList, id: str) -> Import | None:
        """An upload to a list of the tenant."""
        row = await self._database.row("find_import", id=id, tenant_id=tenant_id, list=list.value)
        return _import(row) if row else None

    async def work_in(self) -> bool:
        """Work one chunk in; returns False when there is none."""
        id = ""
        try:
            async with self._database.transaction() as connection:
                found = await rows(connection, "next_import")
                if not found:
                    return False
                id, tenant_id, list_, state, created_at, kept, chunks = found[0]
                [[number, content]] = await rows(connection, "next_import_chunk", id=id)
                is_last = number == chunks - 1
                progress = _progress.decode(state) if state else Progress()
                part, progress = read(progress, content, is_last=is_last, now=datetime.now(UTC))
                entries = _entries(part, tenant_id, SuppressionList(list_), created_at)
                added = len(await suppress(connection, entries)) if entries else 0
                await execute(
                    connection,
                    "chunk_worked_in",
                    id=id,
                    number=number,
                    is_last=is_last,
                    state=b"" if is_last else _encode(progress),
                    lines=len(entries) + len(part.faults),
                    added=added,
                    known=len(entries) - added,
                    faulty=len(part.faults),
                    faults=msgspec.json.encode(part.faults[: MOST_FAULTS - kept]).decode(),
                )
        except (Rejected, BadHeader) as error:
            await self._database.execute("fail_import", id=id, error=str(error))
        return True

    async def purge(self, limit: int) -> int:
        """Drop at most ``limit`` uploads that never ended, and old reports; returns how many."""
        return await self._database.execute("purge_imports", upload_s=UPLOAD_S, kept_s=KEPT_S, limit=limit)


def _entries(part: Part, tenant_id: str, list: SuppressionList, uploaded_at: datetime) -> "Sequence[NewSuppression]":
    return [
        NewSuppression(
            tenant_id=tenant_id,
            email=one.email,
            list=list,
            created_at=one.created_at or uploaded_at,
            reason=one.reason,
            status=one.status,
            ip=one.ip,
        )
        for one in part.listed
    ]


def _import(row: Row) -> Import:
    id, list_, status, lines, added, known, faulty, faults, error, created_at, finished_at, chunks, left = row
    return Import(
        id=id,
        list=SuppressionList(list_),
        status=status,
        lines=lines,
        added=added,
        known=known,
        faulty=faulty,
        faults=_faults.decode(faults),
        error=error,
        created_at=created_at,
        finished_at=finished_at,
        progress=1.0 if status == "done" else round(1 - left / chunks, 3) if chunks else 0.0,
    )
