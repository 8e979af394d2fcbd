"""GET /api/admin/trace: streams the SMTP dialogues with a site, one JSON object per line.

Each poll of the actors keeps their tracing on for some seconds, so that it ends when the client disconnects. Lines have
the sizes of messages but not their contents.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from litestar.response import Stream
from msgspec import Struct

from api.admin.naming import NameFinder
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import Fault, Invalid
from api.http.texts import check_name
from cluster.journal.journal import Unavailable
from cluster.routing.deliverers import Deliverers
from cluster.routing.site_state import TraceLine

LOOK_S = 0.2
LOOKED_AT_S = 3.0
"""How long each poll keeps tracing on."""
MEMBERS_S = 5.0
SILENT_S = 10.0
"""After this time without a line, the trace writes a line that it is still listening."""
LONGEST_S = 3600


class TracedLine(Struct, frozen=True, kw_only=True):
    """One line of a dialogue."""

    at: datetime
    actor: str
    """"" for a line of the trace itself: the site and actors that it listens to, or that the site is silent."""
    number: int
    """Increases by one with each line of this actor; missing numbers were dropped for lack of room. 0 for a line of the
    trace itself."""
    connection: str
    direction: str
    """"C" from us, "S" from the host, "*" for an event of the connection."""
    text: str


class Tracing:
    """The route of this module."""

    def __init__(self, deliverers: Deliverers, names: NameFinder, look_s: float = LOOK_S) -> None:
        self._deliverers = deliverers
        self._names = names
        self._look_s = look_s

    def handlers(self) -> list[HTTPRouteHandler]:
        lines = ResponseSpec(
            data_container=TracedLine,
            description="Lines as they come, each a JSON object",
            generate_examples=False,
            media_type="application/x-ndjson",
        )
        route = get(
            "/trace",
            responses={200: lines, **answers(400, 401, 503)},
            summary="The SMTP dialogues with a site, live",
            example=Example(query={"domain": "example.com", "seconds": 0.5}),
        )
        return [route(self.trace)]

    async def trace(
        self,
        site: Annotated[
            str | None, QueryParameter(description="Its name, or a beginning of it", max_length=255)
        ] = None,
        domain: Annotated[
            str | None, QueryParameter(description="One whose mail goes to the site", max_length=255)
        ] = None,
        seconds: Annotated[float, QueryParameter(gt=0, le=LONGEST_S)] = 30.0,
    ) -> Stream:
        faults: list[Fault] = []
        check_name(site, "site", faults)
        check_name(domain, "domain", faults)
        if (site is None) == (domain is None):
            faults.append(Fault("Name a site or a domain", "site"))
        if faults:
            raise Invalid(faults)
        place = await self._names.place(site, domain)
        assert place is not None, "one of the two was given"
        return Stream(_encoded(await self.listen(place, seconds)), media_type="application/x-ndjson")

    async def listen(self, site: str, seconds: float) -> AsyncIterator[list[TracedLine]]:
        """The lines of the dialogues with a site as they come. Raises Unavailable before the first of them, so that an
        unavailable journal gives a 503."""
        return self._lines(site, seconds, await self._deliverers.names())

    async def _lines(self, site: str, seconds: float, names: list[str]) -> AsyncIterator[list[TracedLine]]:
        clock = asyncio.get_running_loop().time
        ends, named = clock() + seconds, clock()
        after: dict[str, int] = {}
        heard = clock()
        yield _told(f"listening to {site} on {', '.join(names) or 'no delivery actor'}")
        while True:
            found = await self._deliverers.trace(names, site, after, LOOKED_AT_S)
            for actor, lines in found.items():
                after[actor] = max(line.number for line in lines)
            ordered = sorted(((line.at, actor, line) for actor, lines in found.items() for line in lines), key=_order)
            if ordered:
                heard = clock()
                yield [_shown(actor, line) for _, actor, line in ordered]
            over = clock() >= ends
            if clock() - heard >= SILENT_S or (over and not after):
                heard = clock()
                yield _told(f"nothing is said to or by {site}" + (" so far" if not over else ""))
            if over:
                return
            if clock() - named > MEMBERS_S:
                named = clock()
                with contextlib.suppress(Unavailable):  # then the known actors are polled again
                    names = await self._deliverers.names()
            await asyncio.sleep(self._look_s)


async def _encoded(lines: AsyncIterator[list[TracedLine]]) -> AsyncIterator[bytes]:
    async for some in lines:
        yield b"".join(msgspec.json.encode(line) + b"\n" for line in some)


def _told(text: str) -> list[TracedLine]:
    """A line of the trace itself."""
    return [TracedLine(at=datetime.now(UTC), actor="", number=0, connection="", direction="*", text=text)]


def _order(entry: tuple[float, str, TraceLine]) -> tuple[float, str, int]:
    at, actor, line = entry
    return at, actor, line.number


def _shown(actor: str, line: TraceLine) -> TracedLine:
    return TracedLine(
        at=datetime.fromtimestamp(line.at, UTC),
        actor=actor,
        number=line.number,
        connection=line.connection,
        direction=line.direction,
        text=line.text,
    )
