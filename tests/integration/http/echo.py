"""A small application for the HTTP server, and a program that runs that server with a limit of open descriptors."""

import asyncio
import json
import os
import resource
import sys
from contextlib import suppress
from typing import Any

from cluster.http.connections import ConnectionBounds
from cluster.http.server import HttpServer

BIG = 8 * 1024 * 1024
LONG = 70_000
HEALTH = frozenset({b"/healthz"})


class Echo:
    """Answers with the request it received. ``/slow`` waits for ``gate``, ``/big`` returns 8 MB, ``/long`` 70 KB,
    ``/early`` reads no body, ``/hog`` opens files until no descriptors are left, and ``/free`` closes them."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.seen: list[str] = []
        self.done: list[str] = []
        """Paths of the requests that are complete."""
        self.hogged: list[int] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                event = (await receive())["type"]
                await send({"type": f"{event}.complete"})
                if event == "lifespan.shutdown":
                    return
        self.seen.append(scope["path"])
        try:
            await self._answer(scope, receive, send)
        finally:
            self.done.append(scope["path"])

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        body = b"" if path == "/early" else await _body(receive)
        if body is None:
            return
        await self._do(path)
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
        told = {"method": scope["method"], "path": path, "query": scope["query_string"].decode(), "headers": headers}
        answer = b"x" * BIG if path == "/big" else json.dumps(told | {"body": body.decode("latin-1")}).encode()
        if path == "/long":
            answer += b" " * LONG
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        for start in range(0, len(answer), 65536):
            more = start + 65536 < len(answer)
            await send({"type": "http.response.body", "body": answer[start : start + 65536], "more_body": more})

    async def _do(self, path: str) -> None:
        if path == "/slow":
            await self.gate.wait()
        elif path == "/hog":
            with suppress(OSError):
                while True:
                    self.hogged.append(os.open(os.devnull, os.O_RDONLY))
        elif path == "/free":
            while self.hogged:
                os.close(self.hogged.pop())


async def _body(receive: Any) -> bytes | None:
    body = b""
    while True:
        message: dict[str, Any] = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += bytes(message["body"])
        if not message["more_body"]:
            return body


async def main(descriptors: int) -> None:
    """Serve until standard input ends."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    server = HttpServer(Echo(), ConnectionBounds(connections=10_000, per_address=10_000), health=HEALTH)
    _, port = await server.start("127.0.0.1", 0)
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1])))
