"""The skew scenario: ten thousand domains, few of them large, and limits on the largest.

Direct mode, with the harness's DNS server (``names.py``), in which every domain has its own mail host, so that each is
a site. Each repeat has three shots: messages to one domain; to ten thousand with a Zipf distribution (the nth largest
gets 1/n of what the largest gets); and to ten thousand others, of which the ten largest have a rate limit. Costs are
those of the first two: a limit makes messages wait, which has its own cost.
"""

import bisect
import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Annotated

from msgspec import Meta

from benchmarks.blocking import to_its_end
from benchmarks.mail import Mail
from benchmarks.names import domain
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat, Usage
from benchmarks.runner import Measure
from benchmarks.scenarios.blast import Options, Shot, fire, repeat_of
from benchmarks.scenarios.sending import COUNTED, Messages, SendingWorld
from benchmarks.server_process import ServerProcess
from benchmarks.world import SinkArrivals, direct

LIMITED = 10
ALONE = 0
"""The number of the domain that gets everything; the numbers of the many begin at 1."""
DOMAINS, MESSAGES = 10_000, 100_000
"""The amounts of the target: one look-up, connection and handshake per domain, shared by about ten messages."""
COST_TARGET = 1.5
WINDOW_S = 1.0


class SkewOptions(Options, frozen=True, kw_only=True):
    messages: Messages = MESSAGES
    messages_to_one: Annotated[Messages, Meta(description="Messages to the one domain.")] = 20_000
    messages_limited: Annotated[Messages, Meta(description="Messages to the domains of which some are limited.")] = (
        10_000
    )
    domains: Annotated[int, Meta(ge=20, le=1_000_000, description="Recipients' domains.")] = DOMAINS
    limit: Annotated[int, Meta(ge=1, le=10_000, description="Messages a second to each of the ten largest.")] = 300


class Skew:
    """The skew scenario."""

    name = "skew"
    title = "Many domains in Zipf's order against one domain; and with limits on the ten largest"
    notes = (
        COUNTED,
        "unlimited beside limited: messages to all domains but the ten largest, until the last of them has arrived. "
        "busiest second: the most that the sink got for one limited domain in any second, by its clock.",
    )

    def __init__(self, options: SkewOptions) -> None:
        self.settings = options
        self._domain_of = zipf(options.domains)
        self._one = Mail(options.shape, lambda _: domain(ALONE))
        self._limited = Mail(options.shape, lambda number: domain(self._domain_of(number)))
        self._many = Mail(options.shape, lambda number: domain(options.domains + self._domain_of(number)))
        self._stack = AsyncExitStack()
        self._shaping = Path()
        self._nameserver = ""
        self._sending = SendingWorld(options, self._route)

    @property
    def measures(self) -> tuple[Measure, ...]:
        meant = self.settings.domains >= DOMAINS and self.settings.messages >= MESSAGES
        return (
            Measure("delivered, one domain", "msg/s", Better.HIGHER),
            Measure("delivered, many domains", "msg/s", Better.HIGHER),
            Measure("delivered, unlimited beside limited", "msg/s", Better.HIGHER),
            Measure("busiest second", "msg", Better.LOWER),
            Measure("CPU, one domain", "µs/msg", Better.LOWER),
            Measure("CPU, many domains", "µs/msg", Better.LOWER),
            Measure("many / one", "times", Better.LOWER, COST_TARGET if meant else None),
        )

    async def open(self, tell: Tell) -> None:
        directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pr-skew-")))
        names = ServerProcess("benchmarks.names", (), directory / "names.err")
        self._stack.push_async_callback(to_its_end, names.stop)
        self._nameserver = await to_its_end(names.start)
        self._shaping = directory / "shaping.toml"
        self._stack.push_async_callback(self._sending.close)
        await self._sending.open(tell)
        self._sending.world.beside["names"] = names.pid

    async def close(self) -> None:
        await self._stack.aclose()

    def _route(self, sink: str) -> Mapping[str, str]:
        domains = ", ".join(f'"{domain(number)}"' for number in range(1, LIMITED + 1))
        self._shaping.write_text(
            f'[[rule]]\nname = "largest"\ndomain = [{domains}]\nmessage_rate = "{self.settings.limit}/s"\n',
            encoding="ascii",
        )
        return direct(sink, self._nameserver) | {"POSTRAY_DELIVERY_SHAPING_FILE": str(self._shaping)}

    async def measure(self, share: float, tell: Tell) -> Repeat:
        options = self.settings
        one, _, _ = await self._shot(self._one, round(share * options.messages_to_one), tell)
        many, _, _ = await self._shot(self._many, round(share * options.messages), tell)
        last, arrivals, shot = await self._shot(self._limited, round(share * options.messages_limited), tell)
        by_domain = arrived_by_domain(arrivals)
        limited = {domain(number) for number in range(1, LIMITED + 1)}
        free = [at for name, moments in by_domain.items() if name not in limited for at in moments]
        costs = one.figures["CPU"], many.figures["CPU"]
        return Repeat(
            figures={
                "delivered, one domain": one.figures["delivered"],
                "delivered, many domains": many.figures["delivered"],
                "delivered, unlimited beside limited": len(free) / (max(free, default=shot.began + 1) - shot.began),
                "busiest second": max((busiest(by_domain[name]) for name in limited if name in by_domain), default=0),
                "CPU, one domain": costs[0],
                "CPU, many domains": costs[1],
                "many / one": costs[1] / costs[0],
            },
            seconds=one.seconds + many.seconds + last.seconds,
            promised=one.promised + many.promised + last.promised,
            counted=one.counted + many.counted + last.counted,
            copies=one.copies + many.copies + last.copies,
            usage=many.usage,
            throughput=many.throughput,
        )

    async def _shot(self, mail: Mail, messages: int, tell: Tell) -> tuple[Repeat, SinkArrivals, Shot]:
        world = self._sending.world
        watch = world.watch()
        await watch.start()
        shot = await fire(self._sending, mail, messages, self.settings, tell)
        usage: dict[str, Usage] = await watch.stop()
        return repeat_of(world, shot, time.time(), usage), world.arrivals, shot


def zipf(count: int) -> Callable[[int], int]:
    """The rank, from 1, of the domain of a message among ``count`` domains; rank n has a frequency proportional to 1/n.
    The same message number always has the same rank."""
    sums = list(itertools.accumulate(1 / rank for rank in range(1, count + 1)))

    def rank(number: int) -> int:
        return bisect.bisect_left(sums, Random(number).random() * sums[-1]) + 1

    return rank


def arrived_by_domain(arrivals: SinkArrivals) -> dict[str, list[float]]:
    """The arrival times of each domain's messages."""
    found: dict[str, list[float]] = defaultdict(list)
    for (_, recipient), at in arrivals.first_at.items():
        found[recipient.rpartition("@")[2]].append(at)
    return found


def busiest(moments: Sequence[float]) -> int:
    """The largest number of moments within any one second."""
    ordered, most, first = sorted(moments), 0, 0
    for last, at in enumerate(ordered):
        while at - ordered[first] >= WINDOW_S:
            first += 1
        most = max(most, last - first + 1)
    return most
