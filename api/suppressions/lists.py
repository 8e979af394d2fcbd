"""/v3/suppression/{list}: bounces, blocks, invalid_emails, spam_reports, unsubscribes: one set of routes for each."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Stream
from msgspec import Struct

from api.http import help_texts
from api.http.body import ApiRequest, TypedBody
from api.http.csv_files import CSV, wants_csv
from api.http.emails import addresses
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import Fault, Invalid, NotFound
from api.http.routes import RouteGroup, resource
from api.suppressions.exporting import PAGE as EXPORTED_AT_ONCE
from api.suppressions.exporting import exported, page_as_csv
from api.suppressions.paging import After, Offset, next_page, place_of, position
from cluster.journal.journal import Journal
from cluster.journal.suppressions import Suppression, Wanted, new_entries
from cluster.suppression.lists import SuppressionList

PATH = "/v3/suppression"
MOST_OF_PAGE = 500
LONGEST_PART = 254
LAST_SECOND = 253_402_300_799
"""The end of the year 9999."""
LISTS = (
    SuppressionList.BOUNCES,
    SuppressionList.BLOCKS,
    SuppressionList.INVALID_EMAILS,
    SuppressionList.SPAM_REPORTS,
    SuppressionList.UNSUBSCRIBES,
)


class Bounce(Struct, frozen=True):
    """An address that bounced, or that a host blocked."""

    created: int
    """Seconds since the epoch, as in all lists."""
    email: str
    reason: str
    status: str
    """The enhanced status code (RFC 3463), such as 5.1.1."""


class InvalidEmail(Struct, frozen=True):
    """An address that no mail can go to."""

    created: int
    email: str
    reason: str


class SpamReport(Struct, frozen=True):
    """An address whose owner reported spam."""

    created: int
    email: str
    ip: str


class Unsubscribe(Struct, frozen=True):
    """An address that is unsubscribed from all mail."""

    created: int
    email: str


SHAPES: dict[SuppressionList, type[Struct]] = {
    SuppressionList.BOUNCES: Bounce,
    SuppressionList.BLOCKS: Bounce,
    SuppressionList.INVALID_EMAILS: InvalidEmail,
    SuppressionList.SPAM_REPORTS: SpamReport,
    SuppressionList.UNSUBSCRIBES: Unsubscribe,
}


class Removal(Struct, frozen=True):
    """Which entries to remove."""

    delete_all: bool | None = None
    emails: list[str] | None = None


class Addition(Struct, frozen=True):
    """Addresses to put on the list."""

    emails: list[str] | None = None


class RemovalBody(TypedBody[Removal]):
    decoder = msgspec.json.Decoder(Removal)


class AdditionBody(TypedBody[Addition]):
    decoder = msgspec.json.Decoder(Addition)


class SuppressionLists:
    """The routes of all lists."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def routes(self) -> RouteGroup:
        return resource(PATH, *[handler for list_ in LISTS for handler in self._of(list_)], tag="suppressions")

    def _of(self, list_: SuppressionList) -> Sequence[HTTPRouteHandler]:
        shape = SHAPES[list_]
        path, one, named = f"/{list_}", f"/{list_}/{{email:str}}", list_.replace("_", " ")
        of_one = Example(path={"email": "bob@example.com"})
        with_body = (400, 401, 403, 408, 413, 415, 422, 503)
        columns = ("email", *(name for name in shape.__struct_fields__ if name != "email"))

        async def listing(
            request: ApiRequest,
            start_time: Annotated[int | None, QueryParameter(ge=0, le=LAST_SECOND)] = None,
            end_time: Annotated[int | None, QueryParameter(ge=0, le=LAST_SECOND)] = None,
            email: Annotated[str, QueryParameter(max_length=LONGEST_PART)] = "",
            limit: Annotated[int, QueryParameter(ge=1, le=MOST_OF_PAGE)] = MOST_OF_PAGE,
            offset: Offset = 0,
            after: After = None,
        ) -> Response[Any]:
            wanted = Wanted(
                start=_moment(start_time),
                until=_moment(end_time, last=True),
                part=email,
                after=position(after),
                limit=limit,
                offset=offset,
            )
            as_csv = wants_csv(request)
            if as_csv and request.query_params.keys().isdisjoint(("limit", "offset", "after")):
                wanted = msgspec.structs.replace(wanted, limit=EXPORTED_AT_ONCE)
                return await exported(self._journal, request.auth.tenant_id, list_, wanted, columns)
            found = await self._journal.suppressions.page(request.auth.tenant_id, list_, wanted)
            headers = {}
            if len(found) == limit:
                headers["Link"] = next_page(request, place_of(found[-1]))
            if as_csv:
                return Response(page_as_csv(columns, found), media_type=CSV, headers=headers)
            return Response([_shown(shape, entry) for entry in found], headers=headers)

        async def export(
            request: ApiRequest,
            start_time: Annotated[int | None, QueryParameter(ge=0, le=LAST_SECOND)] = None,
            end_time: Annotated[int | None, QueryParameter(ge=0, le=LAST_SECOND)] = None,
            email: Annotated[str, QueryParameter(max_length=LONGEST_PART)] = "",
        ) -> Stream:
            wanted = Wanted(
                start=_moment(start_time), until=_moment(end_time, last=True), part=email, limit=EXPORTED_AT_ONCE
            )
            return await exported(self._journal, request.auth.tenant_id, list_, wanted, columns)

        async def show(request: ApiRequest, email: FromPath[str]) -> Any:
            found = await self._journal.suppressions.entry(request.auth.tenant_id, list_, email)
            return [] if found is None else [_shown(shape, found)]

        async def add(request: ApiRequest, data: JSONBody[Addition]) -> Addition:
            emails = addresses(data.emails, "emails")
            await self._journal.suppressions.add(new_entries(request.auth.tenant_id, list_, emails, datetime.now(UTC)))
            return Addition(emails)

        async def remove(request: ApiRequest, data: JSONBody[Removal]) -> None:
            if bool(data.delete_all) == bool(data.emails):
                raise Invalid([Fault("Give delete_all: true, or emails", "emails")])
            if data.delete_all:
                await self._journal.suppressions.clear(request.auth.tenant_id, list_)
            else:
                await self._journal.suppressions.lift(request.auth.tenant_id, list_, addresses(data.emails, "emails"))

        async def remove_one(request: ApiRequest, email: FromPath[str]) -> None:
            if not await self._journal.suppressions.lift(request.auth.tenant_id, list_, [email]):
                raise NotFound(f"The address is not on the list of {named}", help=help_texts.SUPPRESSIONS)

        listing.__annotations__["return"] = Response[list[shape]]  # type: ignore[valid-type]
        show.__annotations__["return"] = list[shape]  # type: ignore[valid-type]
        return (
            get(
                path,
                responses=answers(400, 401, 403, 503),
                summary=f"The list of {named}, the newest first",
                description="The header Link names the next page, which is as fast as the first; deep offsets are not. "
                "With Accept: text/csv it is a CSV file, of the whole list unless limit, offset or after is given.",
                example=Example(query={"limit": 100, "start_time": 1_767_225_600}),
            )(listing),
            post(
                path,
                status_code=201,
                dto=AdditionBody,
                return_dto=None,
                responses=answers(*with_body),
                summary=f"Put addresses on the list of {named}",
                example=Example(body={"emails": ["ada@example.com", "bob@example.com"]}),
            )(add),
            delete(
                path,
                status_code=204,
                dto=RemovalBody,
                return_dto=None,
                responses=answers(*with_body),
                summary=f"Remove addresses, or all, from the list of {named}",
                example=Example(body={"emails": ["ada@example.com"]}),
            )(remove),
            get(
                f"{path}/export",
                responses={
                    200: ResponseSpec(str, description="The file", media_type="text/csv", generate_examples=False),
                    **answers(400, 401, 403, 503),
                },
                summary=f"The list of {named} as a CSV file, the newest first",
                example=Example(query={"start_time": 1_767_225_600}),
            )(export),
            get(
                one,
                responses=answers(400, 401, 403, 503),
                summary=f"An address on the list of {named}: an array of one, or empty",
                example=of_one,
            )(show),
            delete(
                one,
                status_code=204,
                responses=answers(400, 401, 403, 404, 503),
                summary=f"Remove an address from the list of {named}",
                example=of_one,
            )(remove_one),
        )


def _shown(shape: type[Struct], entry: Suppression) -> Struct:
    facts = {
        "created": int(entry.created_at.timestamp()),
        "email": entry.email,
        "reason": entry.reason,
        "status": entry.status,
        "ip": entry.ip,
    }
    return shape(**{name: facts[name] for name in shape.__struct_fields__})


def _moment(seconds: int | None, *, last: bool = False) -> datetime | None:
    """``last``: the end of that second, which belongs to the range."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=999_999 if last else 0)
