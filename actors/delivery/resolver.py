"""Where a domain's mail goes: MX, A and AAAA questions over aiodns, remembered for as long as the answers hold.

Owns the cache, and that a name is asked for once at a time however many wait for it. Never orders or judges the
answers: ``cluster.policy.mx`` does. Its answers are values, failures included; nothing here raises.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

import aiodns
import pycares
from msgspec import Struct

from cluster.policy import mx
from cluster.settings import DnsSettings

_RecordType = Literal["MX", "A", "AAAA"]
_Key = tuple[str, _RecordType]

_REASONS = {
    pycares.errno.ARES_ESERVFAIL: "SERVFAIL",
    pycares.errno.ARES_EREFUSED: "REFUSED",
    pycares.errno.ARES_ETIMEOUT: "timed out",
    pycares.errno.ARES_ECONNREFUSED: "no server answers",
}


class _Entry(Struct, frozen=True):
    expires_at: float
    lookup: mx.Lookup


class Resolver:
    """Made and closed in one running event loop.

    clock: seconds that never go back, as time.monotonic. random: 0 <= n < 1, as random.random.
    """

    def __init__(
        self,
        settings: DnsSettings,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        family: mx.Family = mx.Family.IPV4_FIRST,
    ) -> None:
        self._clock = clock
        self._random = random
        self._family = family
        self._max_entries = settings.cache_entries
        self._cache: OrderedDict[_Key, _Entry] = OrderedDict()
        self._asking: dict[_Key, asyncio.Task[mx.Lookup]] = {}
        self._dns = aiodns.DNSResolver(
            nameservers=settings.nameservers or None, timeout=settings.timeout_s, tries=settings.tries
        )

    async def resolve(self, domain: str) -> mx.Route:
        """The hosts that take the domain's mail, in the order of trying; equals in a new order each time."""
        name = mx.lookup_name(domain)
        if isinstance(name, mx.Unroutable):
            return name
        route = mx.route_of_mx(name, await self._lookup((name, "MX")), self._random)
        if route is None:
            return mx.route_of_addresses(name, await self.addresses(name))
        return route

    async def addresses(self, host: str) -> mx.HostAddresses:
        """The addresses of a host of a route. An address, as a smarthost may be given, stands for itself."""
        if mx.is_address(host):
            return mx.Addresses((host,))
        name = mx.lookup_name(host)
        if isinstance(name, mx.Unroutable):
            return name
        a, aaaa = await asyncio.gather(self._lookup((name, "A")), self._lookup((name, "AAAA")))
        return mx.join_addresses(name, a, aaaa, self._family)

    async def close(self) -> None:
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await self._dns.close()

    async def _lookup(self, key: _Key) -> mx.Lookup:
        entry = self._cache.get(key)
        if entry is not None and self._clock() < entry.expires_at:
            self._cache.move_to_end(key)
            return entry.lookup
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._ask(key))
        # Shielded: one waiter that gives up must not take the answer from the others.
        return await asyncio.shield(task)

    async def _ask(self, key: _Key) -> mx.Lookup:
        try:
            lookup, ttls = await self._query(key)
        finally:
            del self._asking[key]
        self._cache[key] = _Entry(self._clock() + mx.keep_for_s(lookup, ttls), lookup)
        self._cache.move_to_end(key)
        if len(self._cache) > self._max_entries:
            self._cache.popitem(last=False)
        return lookup

    async def _query(self, key: _Key) -> tuple[mx.Lookup, list[float]]:
        """The answer, and the lifetimes of its records."""
        name, record_type = key
        try:
            result = await self._dns.query_dns(name, record_type)
        except aiodns.error.DNSError as error:
            return _lookup_of_error(error), []
        hosts: list[mx.MxHost] = []
        addresses: list[str] = []
        for record in result.answer:
            match record.data:
                case pycares.MXRecordData(priority=preference, exchange=exchange) if record_type == "MX":
                    hosts.append(mx.MxHost(preference, exchange.removesuffix(".").lower()))
                case pycares.ARecordData(addr=address) if record_type == "A":
                    addresses.append(address)
                case pycares.AAAARecordData(addr=address) if record_type == "AAAA":
                    addresses.append(address)
        if not hosts and not addresses:  # an alias that leads to no record of the type
            return mx.Absent(name_exists=True), []
        return mx.Found(tuple(hosts), tuple(addresses)), [float(record.ttl) for record in result.answer]


def _lookup_of_error(error: aiodns.error.DNSError) -> mx.Lookup:
    code, *rest = error.args
    if code == pycares.errno.ARES_ENOTFOUND:
        return mx.Absent(name_exists=False)
    if code == pycares.errno.ARES_ENODATA:
        return mx.Absent(name_exists=True)
    return mx.Failed(_REASONS.get(code, str(rest[0]) if rest else f"error {code}"))
