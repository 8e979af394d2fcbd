"""What tenants and operators do with sender domains: add, rotate, verify. Used by the API, which checks the requests.

Making an RSA key takes 50 ms of CPU, so keys are made in a thread.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from cluster.dkim_keys import generate_ed25519_key, generate_rsa_key
from cluster.journal.journal import Journal
from cluster.tenancy.domains import names
from cluster.tenancy.domains.domain import DkimAlgorithm, NewDomain, NewKey, SenderDomain
from cluster.tenancy.domains.records import Publishing
from cluster.tenancy.domains.schedule import FIRST
from cluster.vault import Vault

ALGORITHMS: tuple[DkimAlgorithm, ...] = ("rsa", "ed25519")
_GENERATE = {"rsa": generate_rsa_key, "ed25519": generate_ed25519_key}


class DomainManager:
    """``verify`` looks a domain's records up now and stores what follows (``verifying.Verifier``)."""

    def __init__(
        self,
        journal: Journal,
        vault: Vault,
        *,
        publishing: Callable[[], Publishing],
        verify: Callable[[int], Awaitable[None]],
        now: Callable[[], datetime],
    ) -> None:
        self.stored = journal.sender_domains
        self.publishing = publishing
        self.now = now
        self._vault = vault
        self._verify = verify
        self._making = asyncio.Semaphore(1)
        """Keys are made one after the other: however many domains are added, they take one core at most."""

    async def add(
        self,
        tenant_id: str,
        domain: str,
        *,
        subdomain: str,
        selector: str,
        include_subdomains: bool,
        is_default: bool,
        uses_cnames: bool,
    ) -> SenderDomain:
        """Add a domain, which waits for its records. Raises Held, TooMany, Rejected (no such tenant), Unavailable."""
        now = self.now()
        selectors = [selector, *names.next_selectors([selector], len(ALGORITHMS) - 1)]
        new = NewDomain(
            tenant_id=tenant_id,
            domain=domain,
            subdomain=subdomain,
            include_subdomains=include_subdomains,
            is_default=is_default,
            uses_cnames=uses_cnames,
            keys=await self._new_keys(selectors),
        )
        id = await self.stored.add(new, now=now, look_at=now + FIRST)
        return await self._stored(id)

    async def rotate(self, domain: SenderDomain) -> SenderDomain:
        """Give a domain new keys, which wait for their records; nothing changes while it has keys that wait. Raises
        Unavailable."""
        if not any(key.state == "pending" for key in domain.keys):
            selectors = names.next_selectors([key.selector for key in domain.keys], len(ALGORITHMS))
            keys = await self._new_keys(selectors)
            now = self.now()
            await self.stored.rotate(domain.id, keys, now=now, look_at=now + FIRST)
        return await self._stored(domain.id)

    async def verify(self, domain: SenderDomain) -> SenderDomain:
        """Look a domain's records up now. Raises Unavailable."""
        await self._verify(domain.id)
        return await self._stored(domain.id)

    async def _new_keys(self, selectors: list[str]) -> list[NewKey]:
        async with self._making:
            return await new_keys(self._vault, selectors)

    async def _stored(self, id: int) -> SenderDomain:
        found = await self.stored.find(id, None)
        if found is None:
            raise Gone(id)
        return found


class Gone(Exception):
    """The domain was removed meanwhile."""


async def new_keys(vault: Vault, selectors: list[str]) -> list[NewKey]:
    """New signing keys with these selectors, an RSA key and then an Ed25519 key."""
    return await asyncio.to_thread(_new_keys, vault, selectors)


def _new_keys(vault: Vault, selectors: list[str]) -> list[NewKey]:
    made = []
    for algorithm, selector in zip(ALGORITHMS, selectors, strict=True):
        private_key, public_key = _GENERATE[algorithm]()
        made.append(
            NewKey(
                algorithm=algorithm,
                selector=selector,
                public_key=public_key,
                sealed_private_key=vault.seal(private_key),
            )
        )
    return made
