"""Bad hosts leave nothing behind, and do not affect the mail for others."""

import asyncio
import gc
import ssl
import time
from collections import Counter
from collections.abc import Callable

import aiosmtplib
import psutil
import pytest
from msgspec.structs import replace

from actors.delivery.job import Job
from actors.delivery.site import ReadyDelivery
from actors.smtp.client import SmtpConnection
from actors.smtp.handshake import HandshakeResult
from actors.smtp.protocol import ClientProtocol, SmtpFailure
from cluster.events import Delivered
from cluster.journal.journal import Journal
from cluster.journal.records import Claimed, DueDelivery
from tests.integration.delivery.hostile import MAX_WAIT_S, SETTINGS, SMTP, addressed, first_events, hosts
from tests.integration.delivery.world import World
from tests.integration.smtp.peer import Answer, Peer, Step
from tests.live_objects import objects_of

FAULTS: list[dict[str, Answer | list[Answer]]] = [
    {"GREETING": (b"554 5.7.1 no\r\n",)},
    {"GREETING": (Step.DROP,)},
    {"EHLO": (b"250-x\r\n", Step.FLOOD)},
    {"STARTTLS": (b"220 go\r\n", b"garbage\r\n", Step.DROP), "MAIL": (Step.DROP,)},
    {"MAIL": (b"421 4.3.2 closing\r\n",)},
    {"RCPT": (b"\x00\xff\r\n",)},
    {"RCPT": (b"550 5.1.1 no such user\r\n",), "RSET": (Step.DROP,)},
    {"BDAT": (b"endless", Step.FLOOD)},
    {"BDAT": (b"250 2.0.0 ok\r\n250 and more\r\n",)},
    {"BDAT": (Step.DROP,)},
]
SESSIONS = 200
OF_A_SESSION = (
    *(SmtpConnection, ClientProtocol, HandshakeResult, aiosmtplib.SMTP, ssl.SSLObject, SmtpFailure),
    *(Job, Claimed, ReadyDelivery, DueDelivery),
)
"""No instance of these exists when nothing is under way."""


async def test_hostile_sessions_leave_nothing_behind(journal: Journal) -> None:
    async with hosts(journal) as there:
        world = there.world
        await at_rest(world)
        tasks = len(asyncio.all_tasks())
        before = left_behind()  # whatever other tests have left, such as the tracebacks of their failures
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        addresses = [await there.listen(Peer(fault, tls=tls if "STARTTLS" in fault else None)) for fault in FAULTS]
        for batch in range(0, SESSIONS, 50):
            messages = []
            for number in range(batch, batch + 50):
                world.zone(f"d{number}.test", addresses[number % len(addresses)])
                messages.append(addressed(f"d{number}.test"))
            await world.accept(*messages)
            await first_events(world, messages)
        await at_rest(world)
        assert await eventually(lambda: not connections_to(world.port))
        assert await eventually(lambda: len(asyncio.all_tasks()) <= tasks), asyncio.all_tasks()
        known = world.deliverer.deps.connector.addresses
        assert not known.open_at
        assert len(known.dead) <= len(FAULTS)
        assert await eventually(lambda: not left_behind() - before), left_behind() - before


async def at_rest(world: World) -> None:
    """Return when the delivery actor holds no site and no delivery."""
    parts = world.deliverer.parts
    assert await eventually(lambda: not len(parts.sites) and not parts.held and not parts.committer.uncommitted)


def connections_to(port: int) -> list[object]:
    mine = psutil.Process().net_connections("tcp")
    return [one for one in mine if one.raddr and one.raddr.port == port and one.status != psutil.CONN_TIME_WAIT]


def left_behind() -> Counter[str]:
    gc.collect()
    return Counter(type(one).__name__ for one in objects_of(*OF_A_SESSION))


async def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + MAX_WAIT_S
    while not (holds := condition()) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return holds


@pytest.mark.parametrize("answer", [(Step.STALL,), (b"554 5.7.1 no\r\n",)], ids=["silent", "refusing"])
async def test_backlogs_of_bad_hosts_do_not_keep_others_out(journal: Journal, answer: Answer) -> None:
    """They may wait for days; the room in memory is for what can be sent."""
    bad, good = [Peer({"GREETING": answer}) for _ in range(4)], Peer()
    settings = replace(SETTINGS, window=100, connections_per_site=2)
    async with hosts(journal, settings, replace(SMTP, greeting_timeout_s=300)) as there:
        world = there.world
        for number, peer in enumerate(bad):
            await there.host(f"bad{number}.test", peer)
        await there.host("good.test", good)
        await world.scheduler.start()
        await world.accept(*(addressed(f"bad{i % len(bad)}.test") for i in range(1000)))
        assert await eventually(lambda: all(peer.connections for peer in bad))
        messages = [addressed("good.test") for _ in range(30)]
        await world.accept(*messages)
        events = await first_events(world, messages)
        assert all(isinstance(event, Delivered) for (event,) in events.values())
        if answer == (Step.STALL,):
            assert len(world.events) == len(messages), "nothing had to end there first"
