"""/api/admin/tls-reports: the TLS reports (RFC 8460) of a day, and sending them now. The scheduler has both."""

from datetime import date
from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter
from msgspec import Struct

from api.admin.asking import ask
from api.admin.changing import post
from api.http import help_texts
from api.http.body import TypedBody
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import Conflict
from cluster.peers import Call
from cluster.policy.routes.domains import spelled_names
from cluster.policy.tls.shown_reports import ShownReports

LONGEST_NAME = 255


class SendingRequest(Struct, frozen=True, kw_only=True):
    """Which reports to send now."""

    day: date
    domain: Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)] = ""
    """"" is every domain of the day."""


class SendingBody(TypedBody[SendingRequest]):
    decoder = msgspec.json.Decoder(SendingRequest)


class SendingBegun(Struct, frozen=True):
    """The number of domains whose records are looked up now; those that ask for reports get theirs."""

    domains: int


class TlsReportCalls:
    """The routes of this module."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def handlers(self) -> list[HTTPRouteHandler]:
        show = get(
            "/tls-reports",
            responses=answers(400, 401, 409, 503),
            summary="TLS reports of a day: the documents, who gets them, and what became of them",
            example=Example(query={"day": "2026-11-28"}),
        )
        send = post(
            "/tls-reports",
            status_code=202,
            dto=SendingBody,
            return_dto=None,
            responses=answers(400, 401, 408, 409, 413, 415, 422, 503),
            summary="Send the TLS reports of a day now, but for those that were sent",
            example=Example(body={"day": "2026-11-28", "domain": "example.com"}),
        )
        return [show(self.show), send(self.send)]

    async def show(
        self,
        day: Annotated[date, QueryParameter(description="The day (UTC) that was counted")],
        domain: Annotated[str, QueryParameter(max_length=LONGEST_NAME, description="Only of this domain")] = "",
        after: Annotated[str, QueryParameter(max_length=LONGEST_NAME, description="next of the last page")] = "",
    ) -> ShownReports:
        found: ShownReports = await self._ask("show_tls_reports", day, spelled_names(domain), after)
        return found

    async def send(self, data: JSONBody[SendingRequest]) -> SendingBegun:
        return SendingBegun(await self._ask("send_tls_reports", data.day, spelled_names(data.domain)))

    async def _ask(self, method: str, *arguments: Any) -> Any:
        found = await ask(self._call, "scheduler", method, *arguments)
        if found is None:
            raise Conflict("TLS reports are off: tls_reports.sender is not set", help=help_texts.TLS_REPORTS)
        return found
