"""Asks the DNS for the checks, within a bound of time for all questions together."""

import asyncio

import dns.exception
import dns.flags
import dns.name
import dns.resolver
import dns.reversename

from cluster.doctor.judging.answers import Answer, Unanswered
from cluster.lookup.validated import validated_resolver
from cluster.settings import DnsSettings

AT_ONCE = 32
RECORDS = 32
"""Records of an answer that are read: who owns a name decides how many it has."""


class Questions:
    """Made in a running event loop. Each question has one answer, which all who ask it share."""

    def __init__(self, settings: DnsSettings, max_wait_s: float) -> None:
        try:
            self._dns = validated_resolver(settings)
        except dns.resolver.NoResolverConfiguration as error:
            raise NoResolver(str(error)) from error
        self._ends_at = asyncio.get_running_loop().time() + max_wait_s
        self._semaphore = asyncio.Semaphore(AT_ONCE)
        self._asked: dict[tuple[str, str], asyncio.Task[Answer | Unanswered]] = {}

    @property
    def servers(self) -> tuple[str, ...]:
        """The addresses of the name servers that are asked."""
        return tuple(getattr(one, "address", str(one)) for one in self._dns.nameservers)

    async def ask(self, name: str, record_type: str) -> Answer | Unanswered:
        key = (name.lower(), record_type)
        if key not in self._asked:
            self._asked[key] = asyncio.create_task(self._ask(*key))
        return await self._asked[key]

    async def pointers(self, address: str) -> Answer | Unanswered:
        """The names that the PTR records of an address have."""
        return await self.ask(dns.reversename.from_address(address).to_text(omit_final_dot=True), "PTR")

    async def addresses(self, name: str) -> Answer | Unanswered:
        """The addresses of a name, of both families; unanswered where either may be missing and none is there."""
        found = await asyncio.gather(self.ask(name, "A"), self.ask(name, "AAAA"))
        answers = [one for one in found if isinstance(one, Answer)]
        records = tuple(record for one in answers for record in one.records)
        unanswered = [one for one in found if isinstance(one, Unanswered)]
        if unanswered and not records:
            return unanswered[0]
        return Answer(
            records, all(one.is_secure for one in answers), next((one.alias for one in answers if one.alias), "")
        )

    async def _ask(self, name: str, record_type: str) -> Answer | Unanswered:
        try:
            async with self._semaphore, asyncio.timeout_at(self._ends_at):
                found = await self._dns.resolve(
                    dns.name.from_text(name), record_type, raise_on_no_answer=False, search=False
                )
        except dns.resolver.NXDOMAIN:
            return Answer(())
        except (TimeoutError, dns.resolver.LifetimeTimeout):
            return Unanswered("timed out")
        except dns.resolver.NoNameservers:
            return Unanswered("the name server answers with a failure, or not validly")
        except (dns.exception.DNSException, OSError, ValueError) as error:
            return Unanswered(str(error) or type(error).__name__)
        canonical = found.canonical_name.to_text(omit_final_dot=True).lower()
        records = tuple(record.to_text().removesuffix(".").lower() for record in list(found.rrset or ())[:RECORDS])
        return Answer(
            records,
            is_secure=bool(found.response.flags & dns.flags.AD),
            alias=canonical if canonical != name.removesuffix(".") else "",
        )


class NoResolver(Exception):
    """Neither the settings nor the system name a name server."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
