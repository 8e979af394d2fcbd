"""Evaluates SPF for one sending address (RFC 7208 §4), with the limits that receivers keep. Look-ups are a function
that the caller hands in."""

import re
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_network

from cluster.lookup.resolver import RecordType
from cluster.policy.routes import mx
from cluster.tenancy.domains import spf
from cluster.tenancy.domains.findings import said
from cluster.tenancy.domains.spf import BadSpf, Mechanism, Spf

MOST_LOOKUPS = 10
"""RFC 7208 §4.6.4: terms that query the DNS."""
MOST_VOID = 2
"""Look-ups without an answer."""
MOST_MX = 10
"""Hosts of an mx mechanism."""

Ask = Callable[[str, RecordType], Awaitable[mx.Lookup]]
Address = IPv4Address | IPv6Address

_MACRO = re.compile(r"%(?:([%_-])|\{([slodiphcrtv])(\d{0,3})(r?)([.+,/_=-]*)\})", re.ASCII | re.IGNORECASE)
_ESCAPED = {"%": "%", "_": " ", "-": "%20"}


class Unanswered(Exception):
    """The DNS did not answer: a temperror (RFC 7208 §2.6.6)."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason


async def check(ask: Ask, address: Address, domain: str, record: Spf) -> str:
    """The result for mail from ``address`` whose envelope sender is of ``domain``, which has this record: "pass",
    "fail", "softfail" or "neutral". Raises BadSpf, Unanswered."""
    return await _Check(ask, address, domain).of_record(domain, record)


class _Check:
    """One evaluation, with what it has spent."""

    def __init__(self, ask: Ask, address: Address, domain: str) -> None:
        self._ask = ask
        self._address = address
        self._sender = f"postmaster@{domain}"
        self._lookups = self._void = 0

    async def of_record(self, domain: str, record: Spf) -> str:
        for mechanism in record.mechanisms:
            if await self._matches(mechanism, domain):
                return mechanism.result
        if record.redirect and all(mechanism.name != "all" for mechanism in record.mechanisms):
            self._spend()
            target = self._expanded(record.redirect, domain)
            found = await self._record_of(target)
            if found is None:
                raise BadSpf(f"redirect={said(target, 80)} has no SPF record")
            return await self.of_record(target, spf.parse(found))
        return "neutral"

    async def _matches(self, mechanism: Mechanism, domain: str) -> bool:
        if mechanism.name == "all":
            return True
        if mechanism.network is not None:
            return self._address in mechanism.network
        self._spend()
        target = self._expanded(mechanism.domain, domain) if mechanism.domain else domain
        match mechanism.name:
            case "include":
                found = await self._record_of(target)
                if found is None:
                    raise BadSpf(f"include:{said(target, 80)} has no SPF record")
                return await self.of_record(target, spf.parse(found)) == "pass"
            case "a":
                return self._is_among(await self._addresses(target), mechanism)
            case "mx":
                return await self._is_mx(target, mechanism)
            case "exists":
                return bool((await self._answer(target, "A")).addresses)
        return False  # ptr: receivers should not use it (RFC 7208 §5.5)

    async def _is_mx(self, target: str, mechanism: Mechanism) -> bool:
        hosts = (await self._answer(target, "MX")).hosts
        if len(hosts) > MOST_MX:
            raise BadSpf(f"mx:{said(target, 80)} has more than {MOST_MX} hosts")
        for host in hosts:
            if host.name and self._is_among(await self._addresses(host.name), mechanism):
                return True
        return False

    async def _addresses(self, name: str) -> tuple[str, ...]:
        return (await self._answer(name, "A" if self._address.version == 4 else "AAAA")).addresses

    def _is_among(self, addresses: tuple[str, ...], mechanism: Mechanism) -> bool:
        prefix = mechanism.prefix4 if self._address.version == 4 else mechanism.prefix6
        return any(self._address in ip_network(f"{text}/{prefix}", strict=False) for text in addresses)

    async def _record_of(self, name: str) -> str | None:
        found = spf.records((await self._answer(name, "TXT")).texts)
        if len(found) > 1:
            raise BadSpf(f"{said(name, 80)} has {len(found)} SPF records, and may have one")
        return found[0] if found else None

    async def _answer(self, name: str, record_type: RecordType) -> mx.Found:
        lookup = await self._ask(name, record_type)
        if isinstance(lookup, mx.Failed):
            raise Unanswered(name, lookup.reason)
        if isinstance(lookup, mx.Found):
            return lookup
        self._void += 1
        if self._void > MOST_VOID:
            raise BadSpf(f"more than {MOST_VOID} of its look-ups have no answer")
        return mx.Found()

    def _spend(self) -> None:
        self._lookups += 1
        if self._lookups > MOST_LOOKUPS:
            raise BadSpf(f"it takes more than {MOST_LOOKUPS} look-ups")

    def _expanded(self, text: str, domain: str) -> str:
        """A domain-spec with its macros replaced (RFC 7208 §7). Raises BadSpf."""
        if "%" not in text:
            return text.lower().removesuffix(".")
        if "%" in _MACRO.sub("", text):
            raise BadSpf(f"{said(text, 80)!r} has an unknown macro")
        expanded = _MACRO.sub(lambda match: self._macro(match, domain), text).lower().removesuffix(".")
        while len(expanded) > 253:
            _, _, expanded = expanded.partition(".")
        return expanded

    def _macro(self, match: re.Match[str], domain: str) -> str:
        if match[1]:
            return _ESCAPED[match[1]]
        local_part, _, sender_domain = self._sender.partition("@")
        is_v4 = self._address.version == 4
        dotted = str(self._address) if is_v4 else ".".join(self._address.exploded.replace(":", ""))
        values = {"s": self._sender, "l": local_part, "o": sender_domain, "d": domain, "i": dotted}
        values |= {"h": sender_domain, "v": "in-addr" if is_v4 else "ip6", "p": "unknown"}
        value = values.get(match[2].lower())
        if value is None:
            raise BadSpf(f"the macro {match[0]} is for exp= only")
        parts = re.split(f"[{re.escape(match[5] or '.')}]", value)
        if match[4]:
            parts.reverse()
        kept = int(match[3]) if match[3] else len(parts)
        if kept == 0:
            raise BadSpf(f"the macro {match[0]} keeps nothing")
        return ".".join(parts[-kept:])
