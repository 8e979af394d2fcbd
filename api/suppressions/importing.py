"""/v3/suppression/{list}/import: lists of up to millions of addresses as CSV files, worked in in the background."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import OpenAPIMediaType, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import FromPath
from msgspec import Struct

from api.http import help_texts
from api.http.body import ApiRequest
from api.http.errors import answers
from api.http.examples import IMPORT_ID, Example
from api.http.existing import IMPORT, existing
from api.http.forms import FILE, FORM
from api.http.ignored import ignored_by
from api.http.limiting import LimitedOperation
from api.http.refusals import Conflict, Fault, Invalid
from api.http.routes import RouteGroup, resource
from api.suppressions.lists import LISTS, PATH
from api.suppressions.upload import MOST_BYTES, chunks
from cluster.journal.journal import Journal, Rejected, Unavailable
from cluster.journal.suppression_imports import MOST_UNFINISHED, Import
from cluster.suppression.imported import NO_HEADER, BadHeader, LineFault, header
from cluster.suppression.lists import SuppressionList

TOO_MANY = f"A tenant has at most {MOST_UNFINISHED} imports that are not done"
GONE = "The upload took too long, or its tenant was deleted"
EXAMPLE_FILE = "email,created,reason\nada@example.com,2026-01-31T12:00:00Z,550 no such user\n"


class ImportJob(Struct, frozen=True, kw_only=True):
    """An uploaded list, and what became of it."""

    id: str
    list: str
    status: str
    """``uploading``, ``pending`` (it is being worked in), ``done`` or ``failed``."""
    progress: float
    """How much of it is worked in: 0 to 1."""
    lines: int
    """Worked in so far, without the header and empty lines: added + known + faulty."""
    added: int
    """Addresses that were not on the list."""
    known: int
    """Lines whose address was on the list; its entry stays as it is."""
    faulty: int
    faults: Sequence[LineFault]
    """The first 1,000."""
    error: str
    """Why it failed."""
    created_at: int
    """Seconds since the epoch."""
    finished_at: int | None


@dataclass
class UploadOperation(LimitedOperation):
    """The OpenAPI entry of the upload."""

    def __post_init__(self) -> None:
        super().__post_init__()
        csv = Schema(
            type=OpenAPIType.STRING,
            description=f"CSV in UTF-8 of at most {MOST_BYTES // 1024**2} MB; the header line names its columns: "
            "email, and if wanted created, reason, status, ip",
        )
        file = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        form = Schema(type=OpenAPIType.OBJECT, required=[FILE], properties={FILE: file})
        self.request_body = RequestBody(
            content={
                "text/csv": OpenAPIMediaType(schema=csv, example=EXAMPLE_FILE),
                FORM: OpenAPIMediaType(schema=form, example={FILE: EXAMPLE_FILE}),
            },
            required=True,
        )


class ListImports:
    """The routes of all lists."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def routes(self) -> RouteGroup:
        return resource(PATH, *[handler for list_ in LISTS for handler in self._of(list_)], tag="suppressions")

    def _of(self, list_: SuppressionList) -> Sequence[HTTPRouteHandler]:
        named = list_.replace("_", " ")

        async def upload(request: ApiRequest) -> ImportJob:
            return await received(self._journal, request, request.auth.tenant_id, list_)

        async def show(request: ApiRequest, id: FromPath[str]) -> ImportJob:
            return await import_job(self._journal, request.auth.tenant_id, list_, id)

        return (
            post(
                f"/{list_}/import",
                status_code=202,
                operation_class=UploadOperation,
                responses=answers(400, 401, 403, 404, 408, 409, 413, 415, 503),
                summary=f"Put the addresses of a CSV file on the list of {named}, in the background",
                description="An address that is on the list stays as it is, so a file may be sent again.",
            )(upload),
            get(
                f"/{list_}/import/{{id:str}}",
                responses=answers(400, 401, 403, 404, 503),
                summary=f"How far an import to the list of {named} is, and which lines were faulty",
                example=Example(path={"id": IMPORT_ID}),
            )(show),
        )


async def received(journal: Journal, request: ApiRequest, tenant_id: str, list_: SuppressionList) -> ImportJob:
    """Store an upload. What does not arrive whole is dropped. Raises what ``chunks`` raises,
    Invalid and Conflict."""
    imports = journal.suppression_imports
    id, count = None, 0
    try:
        async with aclosing(chunks(request)) as arriving:
            async for chunk in arriving:
                if id is None:
                    _check_header(request, chunk)
                    id = await imports.begin(tenant_id, list_)
                    if id is None:
                        raise Conflict(TOO_MANY, help=help_texts.FEWER_IMPORTS)
                await imports.add(id, count, chunk)
                count += 1
        if id is None:
            raise Invalid([Fault(NO_HEADER, FILE, help_texts.LIST_FILE)])
        if not await imports.end(id, count):
            raise Conflict(GONE, help=help_texts.LIST_FILE)
    except Rejected as error:
        raise Conflict(GONE, help=help_texts.LIST_FILE) from error
    except Unavailable:
        raise  # the journal drops it later
    except BaseException:
        if id is not None:
            await imports.drop(id)
        raise
    return await import_job(journal, tenant_id, list_, id)


async def import_job(journal: Journal, tenant_id: str, list_: SuppressionList, id: str) -> ImportJob:
    """How far an import is. Raises NotFound."""
    find = journal.suppression_imports.find
    return _shown(await existing(IMPORT, id, lambda id: find(tenant_id, list_, id)))


def _check_header(request: ApiRequest, chunk: bytes) -> None:
    """Raises Invalid, unless the first line names the columns. The answer names those that mean nothing."""
    try:
        _, unknown = header(chunk.partition(b"\n")[0])
    except BadHeader as error:
        raise Invalid([Fault(str(error), FILE, help_texts.LIST_FILE)]) from None
    for name in unknown:
        ignored_by(request.scope).ignore(name[:100])


def _shown(found: Import) -> ImportJob:
    return ImportJob(
        id=found.id,
        list=found.list.value,
        status=found.status,
        progress=found.progress,
        lines=found.lines,
        added=found.added,
        known=found.known,
        faulty=found.faulty,
        faults=found.faults,
        error=found.error,
        created_at=int(found.created_at.timestamp()),
        finished_at=int(found.finished_at.timestamp()) if found.finished_at else None,
    )
