"""GET /api/admin/trace: the SMTP dialogues with a site as they happen, a JSON object a line.

Every look at the actors keeps their tracing on for a little longer, so that it ends by itself when nobody looks any
more. Contents of messages are not in it; their sizes are.
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
from litestar.types import Guard
from msgspec import Struct

from actors.delivery.site_state import TraceLine
from api.admin.deliverers import Deliverers
from api.errors import answers
from cluster.journal.store import Unavailable
from cluster.policy.domains import spelled_names

LOOK_S = 0.2
LOOKED_AT_S = 3.0
"""For how long each look keeps tracing on."""
MEMBERS_S = 5.0
LONGEST_S = 3600


class TracedLine(Struct, frozen=True, kw_only=True):
    """One line of a dialogue."""

    at: datetime
    actor: str
    number: int
    """Rises by one with each line of this actor; what is missing was dropped for want of room."""
    connection: str
    direction: str
    """"C" from us, "S" from the host, "*" what happened to the connection."""
    text: str


class Tracing:
    """One call."""

    def __init__(self, guard: Guard, deliverers: Deliverers, look_s: float = LOOK_S) -> None:
        self._guard = guard
        self._deliverers = deliverers
        self._look_s = look_s

    def handlers(self) -> list[HTTPRouteHandler]:
        lines = ResponseSpec(
            data_container=TracedLine,
            description="Lines as they come, each a JSON object",
            generate_examples=False,
            media_type="application/x-ndjson",
        )
        route = get(
            "/api/admin/trace",
            guards=[self._guard],
            responses={200: lines, **answers(400, 401, 503)},
            summary="The SMTP dialogues with a site, live",
            tags=["operating"],
        )
        return [route(self.trace)]

    async def trace(
        self,
        site: Annotated[str, QueryParameter(description="A site's name, whole", min_length=1, max_length=255)],
        seconds: Annotated[float, QueryParameter(gt=0, le=LONGEST_S)] = 30.0,
    ) -> Stream:
        names = await self._deliverers.names()  # before the answer begins: a journal that is away is a 503
        return Stream(self._lines(spelled_names(site), seconds, names), media_type="application/x-ndjson")

    async def _lines(self, site: str, seconds: float, names: list[str]) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        ends, named = clock() + seconds, clock()
        after: dict[str, int] = {}
        while True:
            found = await self._deliverers.trace(names, site, after, LOOKED_AT_S)
            for actor, lines in found.items():
                after[actor] = max(line.number for line in lines)
            ordered = sorted(((line.at, actor, line) for actor, lines in found.items() for line in lines), key=_order)
            if ordered:
                yield b"".join(msgspec.json.encode(_shown(actor, line)) + b"\n" for _, actor, line in ordered)
            if clock() >= ends:
                return
            if clock() - named > MEMBERS_S:
                named = clock()
                with contextlib.suppress(Unavailable):  # then those who were there are asked on
                    names = await self._deliverers.names()
            await asyncio.sleep(self._look_s)


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
