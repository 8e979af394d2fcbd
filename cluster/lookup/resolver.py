"""Where a domain's mail goes: MX, A, AAAA and TXT queries over aiodns, cached for the lifetimes of the answers.

This module owns the cache and the limit of concurrent queries; a name has at most one query at a time, which all its
callers await. ``cluster.policy.routes.mx`` orders and judges the answers and decides when a stale one is used. Answers
are values, failures included; none is raised.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Literal

import aiodns
import pycares

from cluster.lookup.semaphore import Semaphore
from cluster.metrics import Counters, Gauge
from cluster.policy.routes import mx
from cluster.settings import DnsSettings
from cluster.tasks import end_all

RecordType = Literal["MX", "A", "AAAA", "TXT"]
_Key = tuple[str, RecordType]

CHANNEL_QUESTIONS = 10_000
"""Queries after which a c-ares channel is replaced, which takes half a millisecond. c-ares caches each answer for up to
an hour, about 1.4 KB each, and pycares cannot turn that off. So its cache takes at most 14 MB, where a million domains
would take gigabytes."""

MOST_ALIASES = 8
"""CNAME records that are followed from one name."""
ALIASES_MAX_WAIT_S = 10.0
FRESH_RECORDS = 100
FRESH_TEXT = 65_536
"""The part of an uncached answer that is read: records, and characters of all texts. It is not kept, so it may be
larger than that of a cached one."""

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
        self._settings = settings
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

    @asynccontextmanager
    async def uncached(self, max_wait_s: float) -> AsyncIterator["UncachedLookups"]:
        """Look-ups that ask the DNS now, whatever is cached here or in c-ares; within them each question is asked
        once. Those that have no answer after ``max_wait_s`` from now on fail."""
        dns = _Channels(self._settings)
        lookups = UncachedLookups(dns, self._semaphore, max_wait_s)
        try:
            yield lookups
        finally:
            await lookups.close()
            await dns.close()

    async def aliases(self, name: str, max_wait_s: float = ALIASES_MAX_WAIT_S) -> tuple[str, ...] | None:
        """Where the CNAME records of a name lead, in order; the DNS is asked now. Empty without such a record, and for
        a name that cannot exist. None when the DNS does not answer in time."""
        async with self.uncached(max_wait_s) as lookups:
            return await lookups.aliases(name)

    async def close(self) -> None:
        await end_all(self.asking.values())
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
        found = _found(result.answer, record_type)
        if not found.hosts and not found.addresses and not found.texts:  # an alias to a name without such records
            return mx.Absent(name_exists=True), []
        return mx.bounded(found), [float(record.ttl) for record in result.answer]


class UncachedLookups:
    """Look-ups of one purpose; ``Resolver.uncached`` makes it. Concurrent callers share a question."""

    def __init__(self, dns: "_Channels", semaphore: Semaphore, max_wait_s: float) -> None:
        self._dns = dns
        self._semaphore = semaphore
        self._clock = asyncio.get_running_loop().time
        self._ends_at = self._clock() + max_wait_s
        self._asked: dict[_Key, asyncio.Task[mx.Lookup]] = {}

    async def ask(self, name: str, record_type: RecordType) -> mx.Lookup:
        """The records of a name, by way of at most ``MOST_ALIASES`` aliases. Absent also for a name that cannot
        exist, and for aliases that lead in a circle."""
        asked = mx.lookup_name(name)
        if isinstance(asked, mx.Unroutable):
            return mx.Absent(name_exists=False)
        key = (asked, record_type)
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._follow(asked, record_type))
        done, _ = await asyncio.wait([task], timeout=max(0, self._ends_at - self._clock()))
        return task.result() if done else mx.Failed("timed out")

    async def aliases(self, name: str) -> tuple[str, ...] | None:
        """As ``Resolver.aliases``."""
        asked = mx.lookup_name(name)
        if isinstance(asked, mx.Unroutable):
            return ()
        try:
            async with asyncio.timeout_at(self._ends_at):
                return await self._aliases(asked)
        except TimeoutError:
            return None

    async def close(self) -> None:
        await end_all(self._asked.values())

    async def _follow(self, name: str, record_type: RecordType) -> mx.Lookup:
        for _ in range(MOST_ALIASES):
            try:
                async with self._semaphore:
                    result = await self._dns.ask(name, record_type)
            except aiodns.error.DNSError as error:
                return _lookup_of_error(error)
            except TimeoutError:
                return mx.Failed("timed out")
            found = _found(result.answer[:FRESH_RECORDS], record_type)
            if found.hosts or found.addresses or found.texts:
                return mx.Found(found.hosts, found.addresses, _cut(found.texts))
            # Most servers follow aliases themselves; the answer of others ends at the first one.
            target = _last_alias(name, result.answer[:FRESH_RECORDS])
            if target is None:
                break
            name = target
        return mx.Absent(name_exists=True)

    async def _aliases(self, name: str) -> tuple[str, ...] | None:
        passed: list[str] = []
        while len(passed) < MOST_ALIASES:
            try:
                async with self._semaphore:
                    result = await self._dns.ask(name, "CNAME")
            except aiodns.error.DNSError as error:
                return None if isinstance(_lookup_of_error(error), mx.Failed) else tuple(passed)
            target = _last_alias(name, result.answer[:FRESH_RECORDS])
            if target is None or target in passed:
                break
            passed.append(target)
            name = target
        return tuple(passed)


def _found(answer: Sequence[pycares.DNSRecord], record_type: RecordType) -> mx.Found:
    """The records of the requested type in an answer."""
    hosts: list[mx.MailHost] = []
    addresses: list[str] = []
    texts: list[str] = []
    for record in answer:
        match record.data:
            case pycares.MXRecordData(priority=preference, exchange=exchange) if record_type == "MX":
                hosts.append(mx.MailHost(preference, exchange.removesuffix(".").lower()))
            case pycares.ARecordData(addr=address) if record_type == "A":
                addresses.append(address)
            case pycares.AAAARecordData(addr=address) if record_type == "AAAA":
                addresses.append(address)
            case pycares.TXTRecordData(data=data) if record_type == "TXT":
                texts.append(data.decode("utf-8", "replace"))
    return mx.Found(tuple(hosts), tuple(addresses), tuple(texts))


def _last_alias(name: str, answer: Sequence[pycares.DNSRecord]) -> str | None:
    """Where the aliases of an answer lead from ``name``; None when it has none of them, or they lead in a circle."""
    aliases = {
        record.name.removesuffix(".").lower(): record.data.cname.removesuffix(".").lower()
        for record in answer
        if isinstance(record.data, pycares.CNAMERecordData)
    }
    passed = {name}
    while (target := aliases.get(name)) is not None:
        if target in passed:
            return None
        passed.add(target)
        name = target
    usable = mx.lookup_name(name) if len(passed) > 1 else None
    return usable if isinstance(usable, str) else None


def _cut(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The texts that fit ``FRESH_TEXT`` characters."""
    kept: list[str] = []
    for text in texts:
        if sum(map(len, kept)) + len(text) > FRESH_TEXT:
            break
        kept.append(text)
    return tuple(kept)


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

    async def ask(self, name: str, record_type: RecordType | Literal["CNAME"]) -> pycares.DNSResult:
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
