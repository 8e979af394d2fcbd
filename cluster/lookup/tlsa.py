"""TLSA records, and whether DNSSEC validates them and the names that lead to them (RFC 7672 §2.2).

This module owns the queries that need the AD bit, and their cache. One bit covers the whole answer. It is missing where
aliases lead from a signed zone into an unsigned one, so the alias itself is then queried alone.
``cluster.policy.tls.dane`` checks the certificates. Answers are values, failures included; none is raised.
"""

from collections.abc import Callable
from typing import Any

import dns.exception
import dns.flags
import dns.name
import dns.rdatatype
import dns.resolver
from msgspec import Struct

from cluster.lookup.semaphore import Semaphore
from cluster.lookup.ttl_cache import TtlCache
from cluster.lookup.validated import validated_resolver
from cluster.policy.tls.dane import NoTlsa, SecureTlsa, Tlsa, TlsaLookup, UnknownTlsa
from cluster.policy.tls.policy import MxSecurity, SecureMx
from cluster.settings import DnsSettings
from cluster.shared_calls import SharedCalls

MIN_TTL_S = 5.0
MAX_TTL_S = 3600.0
NEGATIVE_TTL_S = 60.0
FAILURE_TTL_S = 5.0
MOST_BYTES = 16 * 1024 * 1024
"""Limit for all cached records together. Most have 32 bytes; a record may hold a whole certificate."""
MAX_RECORDS = 20
"""Number of TLSA records of one host that are used."""
QUESTIONS_AT_ONCE = 200


class _Answer(Struct, frozen=True):
    """An answer. ``records`` has those of the requested type; it is empty when there are none."""

    records: tuple[Any, ...]
    secure: bool
    """DNSSEC validates the whole answer: every alias, and the records or their absence."""
    canonical: str
    """The name at the end of the aliases."""
    ttl_s: float


class _NoAnswer(Struct, frozen=True):
    reason: str


class _Found(Struct, frozen=True):
    tlsa: TlsaLookup
    ttl_s: float


def _weigh(found: TlsaLookup) -> int:
    return sum(len(record.data) for record in found.records) if isinstance(found, SecureTlsa) else 0


class TlsaLookups:
    """Made and closed in one running event loop. ``clock`` is monotonic, in seconds."""

    def __init__(self, settings: DnsSettings, *, entries: int, clock: Callable[[], float]) -> None:
        self._dns = validated_resolver(settings)
        self._semaphore = Semaphore(QUESTIONS_AT_ONCE)
        self._mx: TtlCache[str, SecureMx] = TtlCache(entries, clock)
        self._hosts: TtlCache[tuple[str, int], TlsaLookup] = TtlCache(
            entries, clock, most_bytes=MOST_BYTES, weigh=_weigh
        )
        self._asking_mx: SharedCalls[str, SecureMx] = SharedCalls()
        self._asking_hosts: SharedCalls[tuple[str, int], TlsaLookup] = SharedCalls()

    async def of_mx(self, domain: str) -> SecureMx:
        """Whether DNSSEC validates the domain's MX records (RFC 7672 §2.2.1)."""
        known = self._mx.get(domain)
        if known is not None:
            return known
        return await self._asking_mx.get(domain, self._ask_mx)

    async def of_host(self, host: str, port: int) -> TlsaLookup:
        """The TLSA records of an SMTP server."""
        key = (host, port)
        known = self._hosts.get(key)
        if known is not None:
            return known
        return await self._asking_hosts.get(key, self._ask_tlsa)

    async def close(self) -> None:
        await self._asking_mx.close()
        await self._asking_hosts.close()

    async def _ask_mx(self, domain: str) -> SecureMx:
        answer = await self._ask(domain, "MX")
        found, ttl_s = SecureMx(MxSecurity.UNKNOWN), FAILURE_TTL_S
        if isinstance(answer, _Answer):
            ttl_s = answer.ttl_s
            if answer.secure:
                found = SecureMx(MxSecurity.SECURE, answer.canonical if answer.canonical != domain else "")
            elif not answer.records and answer.canonical != domain:
                # RFC 7672 §2.2.2: without MX records the domain is its own host, and its alias may be secure.
                found = SecureMx(MxSecurity.SECURE)
            else:
                found = SecureMx(MxSecurity.INSECURE)
        self._mx.put(domain, found, ttl_s)
        return found

    async def _ask_tlsa(self, server: tuple[str, int]) -> TlsaLookup:
        found = await self._find_tlsa(*server)
        self._hosts.put(server, found.tlsa, found.ttl_s)
        return found.tlsa

    async def _find_tlsa(self, host: str, port: int) -> _Found:
        addresses = await self._ask_addresses(host)
        if isinstance(addresses, _NoAnswer):
            return _Found(UnknownTlsa(f"{host}: {addresses.reason}"), FAILURE_TTL_S)
        ttl_s = addresses.ttl_s
        # RFC 7672 §2.2.3: the name at the end of secure aliases comes first, then the original name.
        bases = dict.fromkeys((addresses.canonical, host))
        if not addresses.secure:
            # RFC 7672 §2.2.2: of an alias into an unsigned zone, the original name stays valid while the alias itself
            # is secure. For an insecure host without an alias no TLSA query is sent: name servers of unsigned zones are
            # known to fail on TLSA.
            if addresses.canonical == host:
                return _Found(NoTlsa(), ttl_s)
            alias = await self._ask(host, "CNAME")
            if isinstance(alias, _NoAnswer):
                return _Found(UnknownTlsa(f"CNAME of {host}: {alias.reason}"), FAILURE_TTL_S)
            ttl_s = min(ttl_s, alias.ttl_s)
            bases = {host: None} if alias.secure else {}
        for base in bases:
            answer = await self._ask(f"_{port}._tcp.{base}", "TLSA")
            if isinstance(answer, _NoAnswer):
                return _Found(UnknownTlsa(f"TLSA of {base}: {answer.reason}"), FAILURE_TTL_S)
            ttl_s = min(ttl_s, answer.ttl_s)
            if answer.records and answer.secure:
                records = (Tlsa(r.usage, r.selector, r.mtype, r.cert) for r in answer.records[:MAX_RECORDS])
                return _Found(SecureTlsa(tuple(sorted(set(records))), base), ttl_s)
        return _Found(NoTlsa(), ttl_s)

    async def _ask_addresses(self, host: str) -> _Answer | _NoAnswer:
        answer = await self._ask(host, "A")
        if isinstance(answer, _Answer) and not answer.records:
            return await self._ask(host, "AAAA")
        return answer

    async def _ask(self, name: str, record_type: str) -> _Answer | _NoAnswer:
        try:
            async with self._semaphore:
                answer = await self._dns.resolve(
                    dns.name.from_text(name), record_type, raise_on_no_answer=False, search=False
                )
        except dns.resolver.NXDOMAIN:
            # A validating name server turns a forged NXDOMAIN into a failure. For a name without records it does not
            # matter whether the answer is signed.
            return _Answer((), False, name, NEGATIVE_TTL_S)
        except dns.resolver.LifetimeTimeout:
            return _NoAnswer("DNS timed out")
        except dns.resolver.NoNameservers:
            return _NoAnswer("DNS answers with a failure, or not validly")
        except (dns.exception.DNSException, OSError, ValueError) as error:
            return _NoAnswer(f"DNS {error or type(error).__name__}")
        secure = bool(answer.response.flags & dns.flags.AD)
        canonical = answer.canonical_name.to_text(omit_final_dot=True).lower()
        if answer.rrset is None:
            return _Answer((), secure, canonical, NEGATIVE_TTL_S)
        ttl_s = min(max(float(answer.chaining_result.minimum_ttl), MIN_TTL_S), MAX_TTL_S)
        return _Answer(tuple(answer.rrset), secure, canonical, ttl_s)
