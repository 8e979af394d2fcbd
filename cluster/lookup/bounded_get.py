"""One HTTP GET, bounded in size, without redirects, caches, or proxies from the environment.

It uses h11 over asyncio's streams, because HTTP clients have these features on. The caller bounds the time.
"""

import asyncio
import ssl
from collections.abc import Callable

import h11

from cluster.lookup.web_address import WebAddress

_MAX_HEAD_BYTES = 16 * 1024
_READ_BYTES = 16 * 1024


class BadAnswer(ValueError):
    """The server did not answer with what was asked for; the message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def get(address: WebAddress, trusted: ssl.SSLContext, *, accept: str, most_bytes: int) -> bytes:
    """The body at an address, which must answer 200. Raises BadAnswer, OSError."""
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=trusted if address.is_tls else None)
    try:
        return await ask(
            reader, writer, address.authority, address.target, accept=accept, most_bytes=most_bytes, check=_is_ok
        )
    finally:
        writer.transport.abort()


async def ask(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    host: str,
    target: str,
    *,
    accept: str,
    most_bytes: int,
    check: Callable[[h11.Response], None],
) -> bytes:
    """The body of the answer on a new connection, which the caller closes. ``check`` raises BadAnswer for a head that
    is refused. Raises BadAnswer, OSError."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
    headers = [("Host", host), ("Accept", accept), ("User-Agent", "postray"), ("Connection", "close")]
    request = h11.Request(method="GET", target=target, headers=headers)
    writer.write((client.send(request) or b"") + (client.send(h11.EndOfMessage()) or b""))
    body = bytearray()
    try:
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA:
                client.receive_data(await reader.read(_READ_BYTES))
            elif isinstance(event, h11.Response):
                check(event)
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > most_bytes:
                    raise BadAnswer(f"more than {most_bytes} bytes")
            elif isinstance(event, h11.EndOfMessage):
                return bytes(body)
            elif isinstance(event, h11.ConnectionClosed):
                raise BadAnswer("closed by the peer")
    except h11.RemoteProtocolError as error:
        raise BadAnswer(f"not HTTP: {error}") from error


def _is_ok(response: h11.Response) -> None:
    if response.status_code != 200:
        raise BadAnswer(f"answers {response.status_code}")
