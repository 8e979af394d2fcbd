"""Where a domain's mail goes: MX, A, AAAA and TXT queries over aiodns, cached for the lifetimes of the answers.

This module owns the cache and the limit of concurrent queries; a name has at most one query at a time, which all its
callers await. ``cluster.policy.routes.mx`` orders and judges the answers and decides when a stale one is used. Answers
are values, failures included; none is raised.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

import aiodns
import pycares

from cluster.lookup.semaphore import Semaphore
from cluster.metrics import Counters, Gauge
from cluster.policy.routes import mx
from cluster.settings import DnsSettings

_RecordType = Literal["MX", "A", "AAAA", "TXT"]
_Key = tuple[str, _RecordType]

CHANNEL_QUESTIONS = 10_000
"""Queries after which a c-ares channel is replaced, which takes half a millisecond. c-ares caches each answer for up to
an hour, about 1.4 KB each, and pycares cannot turn that off. So its cache takes at most 14 MB, where a million domains
would take gigabytes."""

CACHE_BYTES = 100_000_000
"""Limit for all cached answers: DNS servers decide how large an answer is. 100,000 usual answers take half of it."""

IMPATIENT_TRIES = 5
"""Additional tries for c-ares. After quick answers it allows a try only a quarter of a second, doubled with each try,
whatever the timeout is. With this many more tries it waits several seconds; our own timer limits all tries together."""

_REASONS = {
    pycares.errno.ARES_ESERVFAIL: "SERVFAIL",
    pycares.errno.ARES_EREFUSED: "REFUSED",
    pycares.errno.ARES_ETIMEOUT: "timed out",
    pycares.errno.ARES_ECONNREFUSED: "no server answers",
}


class Resolver:
    """Made and closed in one running event loop.

    ``clock`` is monotonic, in seconds, as time.monotonic. ``random`` returns 0 <= n < 1, as random.random. ``guard``
    excludes addresses to which mail may not go; it is replaced when our own addresses change.

    Measured memory: 690 bytes for the answer of two mail exchangers, 490 for an address, 370 for an absence, so 1.6 KB
    for a domain with its own host. At most ``cache_entries`` answers and ``cache_bytes`` bytes are cached; the least
    recently used are dropped first; the size of one answer is bounded too (``mx.bounded``). A process that looked up a
    million domains takes 100 MB more with the default bounds, c-ares included, and stays there.
    """

    answers = Counters(
        "postray_dns_answers_total", "Answers of the DNS to questions asked.", "answer", ("found", "absent", "failed")
    )
    known = Gauge("postray_dns_cache_entries", "Answers of the DNS in memory.", lambda resolver: len(resolver.cache))
    held = Gauge("postray_dns_cache_bytes", "Memory that the answers take.", lambda resolver: resolver._bytes)

    def __init__(
        self,
        settings: DnsSettings,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        guard: mx.Guard,
        family: mx.AddressFamily = mx.AddressFamily.IPV4_FIRST,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.guard = guard
        self._clock = clock
        self._random = random
        self._family = family
        self._max_entries = settings.cache_entries
        self._max_bytes = cache_bytes
        self._bytes = 0
        self._stale_s = settings.stale_s
        self.cache: OrderedDict[_Key, mx.CachedAnswer] = OrderedDict()
        """Answers by name and type, the least recently used first."""
        self.asking: dict[_Key, asyncio.Task[mx.Lookup]] = {}
        """The queries in progress."""
        self._semaphore = Semaphore(settings.lookups_at_once)
        self.dns = _Channels(settings)

    async def resolve(self, domain: str) -> mx.Route:
        """The hosts for the domain's mail, in order of preference; hosts of equal preference are shuffled each time."""
        name = mx.lookup_name(domain)
        if isinstance(name, mx.Unroutable):
            return name
        route = mx.route_of_mx(name, await self._lookup((name, "MX")), self._random)
        if route is None:
            route = mx.route_of_addresses(name, await self.addresses(name))
        return self.guard.route(name, route)

    async def mx_addresses(self, host: str) -> mx.HostAddresses:
        """The addresses of a host that an MX record names. Unroutable LOOP means that the host is ourselves; then hosts
        with the same or a higher preference number must not be used either (RFC 5321 §5.1)."""
        return self.guard.addresses(host, await self.addresses(host))

    async def addresses(self, host: str) -> mx.HostAddresses:
        """The addresses of a host that the operator named, shuffled each time. An IP address is returned as it is."""
        if mx.is_address(host):
            return mx.Addresses((host,))
        name = mx.lookup_name(host)
        if isinstance(name, mx.Unroutable):
            return name
        a, aaaa = await asyncio.gather(self._lookup((name, "A")), self._lookup((name, "AAAA")))
        return mx.join_addresses(name, a, aaaa, self._family, self._random)

    async def texts(self, name: str) -> mx.Lookup:
        """The TXT records of a name, such as "_mta-sts.example.com". Absent also for a name that cannot exist."""
        asked = mx.lookup_name(name)
        if isinstance(asked, mx.Unroutable):
            return mx.Absent(name_exists=False)
        return await self._lookup((asked, "TXT"))

    async def close(self) -> None:
        asking = list(self.asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await self.dns.close()

    async def _lookup(self, key: _Key) -> mx.Lookup:
        entry = self.cache.get(key)
        if entry is not None and self._clock() < entry.ask_at:
            self.cache.move_to_end(key)
            return entry.lookup
        task = self.asking.get(key)
        if task is None:
            task = self.asking[key] = asyncio.create_task(self._ask(key))
        if entry is not None and entry.stands_in(self._clock()):
            # Slow failing names may occupy all permits. A name with a usable stale answer does not wait for them.
            done, _ = await asyncio.wait([task], timeout=mx.STALE_MAX_WAIT_S)
            if not done:
                return entry.lookup
        # Shielded: when one waiter is cancelled, the others still need the answer.
        return await asyncio.shield(task)

    async def _ask(self, key: _Key) -> mx.Lookup:
        try:
            async with self._semaphore:
                lookup, ttls = await self._query(key)
        finally:
            del self.asking[key]
        self.answers[str(lookup.__struct_config__.tag)] += 1
        before = self.cache.pop(key, None)
        if before is not None:
            self._bytes -= mx.held_bytes(before.lookup)
        entry = mx.remember(before, lookup, ttls, now=self._clock(), stale_s=self._stale_s)
        self.cache[key] = entry
        self._bytes += mx.held_bytes(entry.lookup)
        while len(self.cache) > self._max_entries or self._bytes > self._max_bytes:
            _, oldest = self.cache.popitem(last=False)
            self._bytes -= mx.held_bytes(oldest.lookup)
        return entry.lookup

    async def _query(self, key: _Key) -> tuple[mx.Lookup, list[float]]:
        """The answer, and the TTLs of its records in seconds."""
        name, record_type = key
        try:
            result = await self.dns.ask(name, record_type)
        except aiodns.error.DNSError as error:
            return _lookup_of_error(error), []
        except TimeoutError:
            return mx.Failed("timed out"), []
        hosts: list[mx.MailHost] = []
        addresses: list[str] = []
        texts: list[str] = []
        for record in result.answer:
            match record.data:
                case pycares.MXRecordData(priority=preference, exchange=exchange) if record_type == "MX":
                    hosts.append(mx.MailHost(preference, exchange.removesuffix(".").lower()))
                case pycares.ARecordData(addr=address) if record_type == "A":
                    addresses.append(address)
                case pycares.AAAARecordData(addr=address) if record_type == "AAAA":
                    addresses.append(address)
                case pycares.TXTRecordData(data=data) if record_type == "TXT":
                    texts.append(data.decode("utf-8", "replace"))
        if not hosts and not addresses and not texts:  # an alias to a name without records of this type
            return mx.Absent(name_exists=True), []
        found = mx.bounded(mx.Found(tuple(hosts), tuple(addresses), tuple(texts)))
        return found, [float(record.ttl) for record in result.answer]


class _Channels:
    """The current c-ares channel. It is replaced after ``CHANNEL_QUESTIONS`` queries, before its cache is too large."""

    def __init__(self, settings: DnsSettings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._max_wait_s = settings.timeout_s * settings.tries
        self.under_way: dict[aiodns.DNSResolver, int] = {}
        """The number of queries in progress by channel; a replaced channel stays until its last query ends."""
        self._questions = 0
        self.channel = self._open()

    async def ask(self, name: str, record_type: _RecordType) -> pycares.DNSResult:
        """Raises DNSError, TimeoutError."""
        if self._questions == CHANNEL_QUESTIONS:
            former, self.channel = self.channel, self._open()
            await self._close_if_idle(former)
        channel = self.channel
        self._questions += 1
        answer = channel.query_dns(name, record_type)
        # asyncio.timeout would cost as much as the query itself.
        timer = self._loop.call_later(self._max_wait_s, _give_up, answer)
        self.under_way[channel] += 1
        try:
            return await answer
        finally:
            timer.cancel()
            self.under_way[channel] -= 1
            if channel is not self.channel:
                await self._close_if_idle(channel)

    async def close(self) -> None:
        for channel in self.under_way:
            await channel.close()

    def _open(self) -> aiodns.DNSResolver:
        settings = self._settings
        channel = aiodns.DNSResolver(
            nameservers=settings.nameservers or None,
            timeout=settings.timeout_s,
            tries=settings.tries + IMPATIENT_TRIES,
        )
        self._questions = 0
        self.under_way[channel] = 0
        return channel

    async def _close_if_idle(self, channel: aiodns.DNSResolver) -> None:
        if self.under_way[channel] == 0:
            del self.under_way[channel]
            await channel.close()


def _give_up(answer: asyncio.Future[pycares.DNSResult]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


def _lookup_of_error(error: aiodns.error.DNSError) -> mx.Lookup:
    code, *rest = error.args
    if code == pycares.errno.ARES_ENOTFOUND:
        return mx.Absent(name_exists=False)
    if code == pycares.errno.ARES_ENODATA:
        return mx.Absent(name_exists=True)
    return mx.Failed(_REASONS.get(code, str(rest[0]) if rest else f"error {code}"))
