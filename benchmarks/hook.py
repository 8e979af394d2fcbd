"""The endpoint of the scenarios: an HTTP server in its own process that takes webhooks and logs what it was posted.

    python -m benchmarks.hook LOG [OPTIONS]     prints host:port; reads orders, one per line; ends when its input does

It takes posts in postray's own dialect, one event or an array. A line of the log is written before the answer, so the
log contains every post for which a client may have read a 2xx. On a ``HookBehavior`` it misbehaves, for a share of the
posts.
"""

import asyncio
import sys
import time
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any, BinaryIO

import msgspec
import uvloop
from aiohttp import web
from msgspec import Struct

from benchmarks.hook_log import HookedEvent, Post
from benchmarks.server_process import obey_orders

LATE_S = 1.0
SILENCE_S = 60.0
MOST_BYTES = 8 * 1024**2


class HookManner(StrEnum):
    """What the endpoint does with a post."""

    HONEST = "honest"
    DROP_BEFORE = "drop-before"
    """It takes nothing, and closes the connection."""
    DROP_AFTER = "drop-after"
    """It takes the post, and closes the connection without an answer."""
    FAIL = "fail"
    """It takes nothing, and answers 500."""
    STALL = "stall"
    """It takes nothing, and never answers."""
    LATE = "late"
    """It takes the post, and answers late."""


class HookBehavior(Struct, frozen=True):
    """The behaviour from now on, for ``share`` of the posts."""

    manner: HookManner
    share: float = 1.0


class HookOptions(Struct, frozen=True, kw_only=True):
    """The options of an endpoint."""

    logs_events: bool = True
    """Whether a line names the events; for measuring, their number is enough."""


# For each manner: whether the post is taken, and the status of the answer, 0 for none.
MANNERS: dict[HookManner, tuple[bool, int]] = {
    HookManner.HONEST: (True, 200),
    HookManner.DROP_BEFORE: (False, 0),
    HookManner.DROP_AFTER: (True, 0),
    HookManner.FAIL: (False, 500),
    HookManner.STALL: (False, 0),
    HookManner.LATE: (True, 200),
}

_one = msgspec.json.Decoder(HookedEvent)
_many = msgspec.json.Decoder(list[HookedEvent])
_raw = msgspec.json.Decoder(list[msgspec.Raw])


class Hook:
    """Decides on every post and logs it. If ``log`` is unbuffered, its lines survive a SIGKILL."""

    def __init__(self, log: BinaryIO, random: Random, options: HookOptions) -> None:
        self._log = log
        self._random = random
        self._options = options
        self._order = HookBehavior(HookManner.HONEST)
        self._encode = msgspec.json.Encoder().encode

    def obey(self, order: HookBehavior) -> None:
        self._order = order

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Answer one post, or do not."""
        body = await request.read()
        is_array = body.startswith(b"[")
        events: list[HookedEvent] = []
        count = 1
        if self._options.logs_events:
            events = _many.decode(body) if is_array else [_one.decode(body)]
            count = len(events)
        elif is_array:
            count = len(_raw.decode(body))
        manner = self._order.manner if self._random.random() < self._order.share else HookManner.HONEST
        taken, status = MANNERS[manner]
        self._log.write(
            self._encode(
                Post(at=time.time(), path=request.path, taken=taken, status=status, count=count, events=events)
            )
            + b"\n"
        )
        if manner is HookManner.LATE:
            await asyncio.sleep(LATE_S)
        if manner is HookManner.STALL:
            await asyncio.sleep(SILENCE_S)
        if not status:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=status or 500)


async def serve(log_path: Path, options: HookOptions) -> None:
    """Serve until standard input ends, so that it never outlives the process that started it."""
    with log_path.open("ab", buffering=0) as log:
        hook = Hook(log, Random(0), options)
        app = web.Application(client_max_size=MOST_BYTES)
        app.router.add_post("/{path:.*}", hook.take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=512)
        await site.start()
        host, port = runner.addresses[0][:2]
        print(f"{host}:{port}", flush=True)
        await obey_orders(HookBehavior, hook.obey)
        await runner.cleanup()


if __name__ == "__main__":
    told: Any = msgspec.json.decode(sys.argv[2], type=HookOptions) if len(sys.argv) > 2 else HookOptions()
    uvloop.run(serve(Path(sys.argv[1]), told))
