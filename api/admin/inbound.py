"""/api/admin/inbound: the mail that came in, and what it was taken for, for operators."""

from base64 import b64encode
from datetime import datetime
from typing import Annotated

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from msgspec import Struct
from msgspec.structs import asdict

from api.http.errors import answers
from api.http.examples import Example
from cluster.journal.journal import Journal
from cluster.journal.mail_in import KeptMail
from cluster.mail_in.report import Kind

MOST = 500
USUAL = 50
MOST_WITH_ORIGINALS = 20
"""Each may have 64 KB."""


class ArrivedView(Struct, frozen=True, kw_only=True):
    """A mail that came in."""

    id: int
    at: datetime
    kind: str
    """What it was taken for."""
    effect: str
    """What followed; "" is nothing."""
    why: list[str]
    """How it was told, and why nothing followed."""
    sender: str
    """Of the envelope."""
    mailbox: str
    """The address that it came to."""
    tenant_id: str | None
    message_id: str | None
    recipients: list[str]
    """Those that it is about."""
    size: int
    original: str | None
    """What nothing followed from, in base64 and cut to 64 KB; None where it is not kept or not asked for."""


class ArrivedPage(Struct, frozen=True):
    """Mails, the newest first. ``next`` is ``before`` of the next page; None: there is none."""

    mails: list[ArrivedView]
    next: int | None


class InboundListing:
    """The route of this module."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def handlers(self) -> list[HTTPRouteHandler]:
        return [
            get(
                "/inbound",
                responses=answers(400, 401, 503),
                summary="Reports, complaints and unsubscribes that came by mail, and what they were taken for",
                example=Example(query={"kind": "not_understood"}),
            )(self.listing)
        ]

    async def listing(
        self,
        kind: Annotated[Kind | None, QueryParameter(description="Only what was taken for this")] = None,
        message_id: Annotated[str | None, QueryParameter(max_length=60, description="Only about this message")] = None,
        originals: Annotated[bool, QueryParameter(description="With what nothing followed from")] = False,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST, description="Mails on a page")] = USUAL,
        before: Annotated[int | None, QueryParameter(ge=1, description="next of the last page")] = None,
    ) -> ArrivedPage:
        limit = min(limit, MOST_WITH_ORIGINALS) if originals else limit
        found = await self._journal.mail_in.page(limit + 1, before, kind, message_id)
        page = found[:limit]
        kept = await self._journal.mail_in.originals([one.id for one in page if one.has_original]) if originals else {}
        return ArrivedPage([_view(one, kept.get(one.id)) for one in page], page[-1].id if len(found) > limit else None)


def _view(one: KeptMail, original: bytes | None) -> ArrivedView:
    fields = asdict(one)
    del fields["has_original"]
    fields["why"] = one.why.split("\n")
    return ArrivedView(**fields, original=None if original is None else b64encode(original).decode())
