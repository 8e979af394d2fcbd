"""Whether the network lets mail out: connects to the SMTP servers that the operator names, from every source."""

import asyncio
import os
from collections.abc import Iterator

from cluster.doctor.findings import Finding, Installation, ok
from cluster.doctor.judging import outgoing as judging
from cluster.doctor.reading import routing_of
from cluster.policy.routes.host_names import host_port
from cluster.policy.routes.mx import is_address

MAX_WAIT_S = 15.0
"""For a connection and its greeting."""
GREETING_BYTES = 1000
AT_ONCE = 32


def hosts(installation: Installation) -> Iterator[Finding]:
    """One finding for each host and each address that mail leaves from."""
    if not installation.hosts:
        yield ok(
            "not asked whether the network lets mail out: postray doctor --port25 HOST connects to a host that you name"
        )
        return
    yield from map(judging.of_attempt, asyncio.run(_attempts(installation)))


async def _attempts(installation: Installation) -> list[judging.Attempt]:
    semaphore = asyncio.Semaphore(AT_ONCE)
    tries = []
    for text in installation.hosts:
        host, port = _server(text, installation.settings.smtp.port)
        own = [one for one in _own(installation) if not is_address(host) or (":" in one) == (":" in host)]
        tries += [_attempt(semaphore, host, port, address) for address in own or [""]]
    return await asyncio.gather(*tries)


def _server(text: str, port: int) -> tuple[str, int]:
    """``text``: a host, or host:port."""
    try:
        return host_port(text)
    except ValueError:
        return text, port


def _own(installation: Installation) -> list[str]:
    """The addresses of all sources."""
    routing = routing_of(installation)
    return sorted(routing.addresses) if routing is not None else []


async def _attempt(semaphore: asyncio.Semaphore, host: str, port: int, own: str) -> judging.Attempt:
    async with semaphore:
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                return judging.Attempt(host, port, own, greeting=await _greeting(host, port, own))
        except TimeoutError:
            return judging.Attempt(host, port, own, fault=f"no answer within {MAX_WAIT_S:.0f} s")
        except OSError as error:
            return judging.Attempt(host, port, own, fault=os.strerror(error.errno) if error.errno else str(error))


async def _greeting(host: str, port: int, own: str) -> str:
    """The first line that the server says. Raises OSError."""
    reader, writer = await asyncio.open_connection(
        host, port, limit=GREETING_BYTES, local_addr=(own, 0) if own else None
    )
    try:
        try:
            line = await reader.readline()
        except ValueError:  # it is longer than the limit
            return ""
        writer.write(b"QUIT\r\n")
        return line.decode("ascii", "replace").strip()
    finally:
        writer.close()
