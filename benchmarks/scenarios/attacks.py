"""The attacks scenario: a tenant sends some messages and a monitor asks for /healthz, while each attack runs.

The attacker has its own tenant, key and sender domain: what it sends is accepted where possible. The bystander is the
demo tenant. Attacks are entries of ``benchmarks.attacks.table``.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Annotated

import psutil
from msgspec import Meta

from api.send.large.process import IDLE_S
from benchmarks.attacks.attack import Target
from benchmarks.attacks.attacking import Told, attacking
from benchmarks.attacks.bodies import DOMAIN
from benchmarks.attacks.table import ATTACKS
from benchmarks.load import Load
from benchmarks.mail import Mail, Shape
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.scenarios.sending import COUNTED, SendingWorld, WorldOptions
from benchmarks.series import percentile, thinned
from benchmarks.world import LOOK_S, STALLED_S, known
from cluster.journal.journal import Journal
from cluster.tenancy.granting import add_key, add_verified_domain
from cluster.vault import Vault, secret_key

HEALTH_S = 0.05
STARTED_S = 1.0
"""From the start of an attack to the first measurement."""
SETTLE_S = IDLE_S + 2.0
"""From its end to the last measurement of the API's memory: idle workers have ended by this time."""
ACCEPT_MS = HEALTH_MS = 100.0
DELIVERED_MS = 1000.0
CLIENTS = 32
"""The bystander's connections: a delayed request does not delay others."""
SCOPES = ("mail.send", "mail.schedule", "mail.cancel", "messages.read")
MEGABYTE = 2**20


class Options(WorldOptions, frozen=True, kw_only=True):
    """The options of a run."""

    rate: Annotated[float, Meta(ge=1, le=1000, description="The bystander's messages a second.")] = 50.0
    seconds: Annotated[float, Meta(ge=1, le=600, description="Of each attack.")] = 10.0
    only: Annotated[tuple[str, ...], Meta(description="Only these attacks; all where none is named.")] = ()


class Attacks:
    """The attacks scenario."""

    name = "attacks"
    title = "What a tenant has of it when another, or a stranger, sends what costs much"
    notes = (COUNTED, "Attacks run in turn; what they have sent is still delivered while the next one runs.")

    def __init__(self, options: Options) -> None:
        self.settings = options
        self._mail = Mail(Shape())
        self._sending = SendingWorld(options)
        self._key = ""
        names = [name for name in ATTACKS if name in (options.only or ATTACKS)]
        self._attacks = names

    @property
    def measures(self) -> tuple[Measure, ...]:
        return tuple(
            measure
            for name in self._attacks
            for measure in (
                Measure(f"{name}: accept p99", "ms", Better.LOWER, ACCEPT_MS),
                Measure(f"{name}: accept to delivered p99", "ms", Better.LOWER, DELIVERED_MS),
                Measure(f"{name}: healthz p99", "ms", Better.LOWER, HEALTH_MS),
                Measure(f"{name}: copies", "", Better.LOWER, 0.0),
                Measure(f"{name}: API at its largest", "MiB", Better.LOWER),
                Measure(f"{name}: API after it", "MiB", Better.LOWER),
            )
        )

    async def open(self, tell: Tell) -> None:
        await self._sending.open(tell)
        self._key = await self._attackers_key()

    async def close(self) -> None:
        await self._sending.close()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        repeats = [await self._under(attack, share, tell) for attack in self._attacks]
        return Repeat(
            figures={name: value for repeat in repeats for name, value in repeat.figures.items()},
            seconds=sum(repeat.seconds for repeat in repeats),
            promised=sum(repeat.promised for repeat in repeats),
            counted=sum(repeat.counted for repeat in repeats),
            copies=sum(repeat.copies for repeat in repeats),
            latencies_ms={name: values for repeat in repeats for name, values in repeat.latencies_ms.items()},
        )

    async def _under(self, attack: str, share: float, tell: Tell) -> Repeat:
        """The bystander's figures under one attack."""
        world, options = self._sending.world, self.settings
        messages = max(1, round(share * options.seconds * options.rate))
        tell(f"{attack}: {messages} messages at {options.rate:g}/s", 0)
        world.forget()
        load = self._sending.load(CLIENTS)
        memory = _Memory([pid for name in world.postray.names("api") if (pid := world.postray.pid_of(name))])
        began = time.time()
        health: list[float] = []
        told = Told(attack, Target.of(world.postray.url, self._key))
        try:
            async with memory, attacking(told) as attacked, _beside(_asked(world.postray.url, health)):
                await load.open()  # as late as possible: a connection that is idle for ten seconds is closed
                await asyncio.sleep(STARTED_S)
                health.clear()
                await load.at_rate(self._sending.bodies(self._mail, messages, 1), options.rate)
        finally:
            load.close()
        await self._all_arrived(load.message_ids, lambda share: tell(f"{attack}: {attacked.answers}", share))
        await asyncio.sleep(SETTLE_S)
        firsts = {message_id: at for (message_id, _), at in world.arrivals.first_at.items()}
        accepted = [one.took_s * 1000 for one in load.accepted]
        delivered = [
            max(0.0, firsts[message_id] - one.at) * 1000
            for one in load.accepted
            for message_id in one.message_ids
            if message_id in firsts
        ]
        mine = set(load.message_ids)
        copies = sum(n - 1 for (message_id, _), n in world.arrivals.copies.items() if message_id in mine)
        return Repeat(
            figures={
                f"{attack}: accept p99": percentile(accepted, 0.99),
                f"{attack}: accept to delivered p99": percentile(delivered, 0.99) if delivered else float("inf"),
                f"{attack}: healthz p99": percentile(health, 0.99),
                f"{attack}: copies": float(copies),
                f"{attack}: API at its largest": memory.largest / MEGABYTE,
                f"{attack}: API after it": memory.now() / MEGABYTE,
            },
            seconds=time.time() - began,
            promised=load.promised,
            counted=known(world.arrivals, load.message_ids),
            copies=copies,
            latencies_ms={f"{attack}: accept": thinned(accepted), f"{attack}: healthz": thinned(health)},
        )

    async def _all_arrived(self, promised: Sequence[str], tell: Callable[[float], None]) -> None:
        """Return when the bystander's messages are at the sink, or none has arrived for ``STALLED_S``."""
        world, seen, changed_at = self._sending.world, -1, time.monotonic()
        while seen < len(promised) and time.monotonic() - changed_at < STALLED_S:
            world.look()
            found = known(world.arrivals, promised)
            tell(found / len(promised))
            if found != seen:
                seen, changed_at = found, time.monotonic()
            await asyncio.sleep(LOOK_S)

    async def _attackers_key(self) -> str:
        """The key of a separate tenant with a domain to send from."""
        postray = self._sending.world.postray
        journal = Journal(self._sending.world.dsn, application="attacks", connections=1)
        await journal.open()
        try:
            tenant_id = await journal.tenants.create("attacker")
            vault = Vault(secret_key(postray.settings.secret, postray.data_dir))
            await add_verified_domain(journal, vault, tenant_id, DOMAIN)
            return (await add_key(journal, tenant_id, "attacker", SCOPES)).secret
        finally:
            await journal.close()


class _Memory:
    """The memory of the API's processes, including their workers, during this context and after."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self.largest = 0
        self._task: asyncio.Task[None] | None = None

    def now(self) -> int:
        """Bytes of resident memory."""
        held = 0
        for pid in self._pids:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                held += sum(one.memory_info().rss for one in (process, *process.children()))
        return held

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._look())

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _look(self) -> None:
        while True:
            self.largest = max(self.largest, self.now())
            await asyncio.sleep(0.1)


async def _asked(url: str, took_ms: list[float]) -> None:
    """Request /healthz until cancelled; each request is timed from its turn."""
    load = Load(url, "", 8)
    await load.open()

    async def ask() -> None:
        began = time.perf_counter()
        await load.get("/healthz")
        took_ms.append((time.perf_counter() - began) * 1000)

    try:
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(ask())
                await asyncio.sleep(HEALTH_S)
    finally:
        load.close()


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run ``work`` during the context. Its exception is raised at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        task.result()
