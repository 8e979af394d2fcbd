"""Lists as CSV (RFC 4180), streamed page by page, in the columns that an import reads."""

import csv
import io
from collections.abc import AsyncIterator, Sequence

import msgspec
from litestar.response import Stream

from api.http.csv_files import CSV
from cluster.journal.journal import Journal
from cluster.journal.suppressions import Position, Suppression, Wanted
from cluster.suppression import cells
from cluster.suppression.lists import SuppressionList

PAGE = 2000


async def exported(
    journal: Journal, tenant_id: str, list_: SuppressionList, wanted: Wanted, columns: Sequence[str]
) -> Stream:
    """The wanted entries as a file, the newest first; all of them, with ``limit`` in a page. The first page is read
    before the answer begins, so that an unavailable journal gives a 503; a later failure ends the answer early, without
    its last chunk."""
    first = await journal.suppressions.page(tenant_id, list_, wanted)
    return Stream(
        _lines(journal, tenant_id, list_, wanted, columns, first),
        media_type=CSV,
        headers={"Content-Disposition": f'attachment; filename="{list_}.csv"'},
    )


def page_as_csv(columns: Sequence[str], entries: Sequence[Suppression]) -> bytes:
    """A file of one page."""
    return _head(columns) + _rows(columns, entries)


def _head(columns: Sequence[str]) -> bytes:
    return f"{','.join(columns)}\r\n".encode()


def _rows(columns: Sequence[str], entries: Sequence[Suppression]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    for entry in entries:
        facts = {
            **msgspec.structs.asdict(entry),
            "created": int(entry.created_at.timestamp()),
            "reason": cells.written(entry.reason),
            "status": cells.written(entry.status),
        }
        writer.writerow([facts[column] for column in columns])
    return text.getvalue().encode()


async def _lines(
    journal: Journal,
    tenant_id: str,
    list_: SuppressionList,
    wanted: Wanted,
    columns: Sequence[str],
    page: Sequence[Suppression],
) -> AsyncIterator[bytes]:
    yield _head(columns)
    while page:
        yield _rows(columns, page)
        if len(page) < wanted.limit:
            return
        wanted = msgspec.structs.replace(wanted, after=Position(page[-1].created_at, page[-1].address), offset=0)
        page = await journal.suppressions.page(tenant_id, list_, wanted)
