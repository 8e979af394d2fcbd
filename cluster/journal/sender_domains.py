"""The journal's part for sender domains and their signing keys."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from msgspec import Struct
from psycopg import AsyncConnection

from cluster.journal.database import JournalPart, Rejected, Row, execute, rows
from cluster.policy.routes.domains import a_labels, mail_domain, parents
from cluster.tenancy.domains.domain import (
    GIVES_WAY,
    MOST_DOMAINS,
    DkimAlgorithm,
    DomainKey,
    Held,
    KeyState,
    Look,
    NewDomain,
    NewKey,
    SenderDomain,
    TooMany,
)
from cluster.tenancy.domains.findings import decode, encode


class DkimKey(Struct, frozen=True, kw_only=True):
    """A DKIM signing key (RFC 6376, RFC 8463). The private key is sealed (cluster.vault)."""

    algorithm: DkimAlgorithm
    selector: str
    sealed_private_key: bytes


class SigningDomain(Struct, frozen=True, kw_only=True):
    """The sender domain that signs the mail of an author's domain."""

    domain: str
    """The author's domain or a parent of it: the ``d=`` of the signatures."""
    return_path: str
    """The host of the envelope's sender."""
    tenant_number: int
    """Of the tenant that has it; envelope senders name it."""
    keys: tuple[DkimKey, ...]
    """The active keys, RSA first, one of each algorithm."""


class SenderDomains(JournalPart):
    """Sender domains with their signing keys. ``tenant_id`` is the tenant that asks; None is an operator, who may do
    everything with the domains of all tenants."""

    async def add(self, new: NewDomain, *, now: datetime, look_at: datetime | None = None) -> int:
        """Store a new sender domain; returns its id. ``look_at``: when its records are looked up first; None looks on
        demand only.

        A domain that another tenant holds is taken over if it was never verified and either is ``GIVES_WAY`` old or
        lies below a domain that this tenant has verified. Raises Held, TooMany, and Rejected for an unknown tenant and
        for what is not a mail domain.
        """
        name = mail_domain(new.domain)
        if name is None:
            raise Rejected(f"{new.domain[:80]!r} is not a mail domain")
        async with self._database.transaction() as connection:
            if not await rows(connection, "lock_tenant", id=new.tenant_id):
                raise Rejected(f"there is no tenant {new.tenant_id!r}")
            await self._take_over(connection, new.tenant_id, name, now)
            counted = await rows(connection, "count_domains", tenant_id=new.tenant_id)
            if counted[0][0] >= MOST_DOMAINS:
                raise TooMany(new.tenant_id)
            created = await rows(
                connection,
                "create_domain",
                tenant_id=new.tenant_id,
                domain=name,
                subdomain=new.subdomain,
                include_subdomains=new.include_subdomains,
                is_default=new.is_default,
                uses_cnames=new.uses_cnames,
                is_verified=new.is_verified,
                now=now,
                look_at=look_at,
            )
            if not created:  # another tenant was quicker
                raise Held(name, is_own=False, gives_way_at=now + GIVES_WAY)
            id: int = created[0][0]
            if new.is_default:
                await execute(connection, "clear_default", tenant_id=new.tenant_id, id=id)
            state = KeyState.ACTIVE if new.is_verified else KeyState.PENDING
            await _store_keys(connection, id, new.keys, state, now)
        return id

    async def _take_over(self, connection: AsyncConnection[Row], tenant_id: str, name: str, now: datetime) -> None:
        """Remove entries of other tenants that give way. Raises Held for one that does not."""
        found = await rows(connection, "domain_holders", tenant_id=tenant_id, domain=name, parents=parents(name))
        for id, holder, verified_at, created_at, has_parent in found:
            if holder == tenant_id:
                raise Held(name, is_own=True)
            if verified_at is not None:
                raise Held(name, is_own=False)
            if not has_parent and now < created_at + GIVES_WAY:
                raise Held(name, is_own=False, gives_way_at=created_at + GIVES_WAY)
            await execute(connection, "remove_domain", id=id, tenant_id=None)

    async def of_tenant(
        self, tenant_id: str | None, *, part: str = "", limit: int = MOST_DOMAINS, offset: int = 0
    ) -> list[SenderDomain]:
        """Domains in the order in which they were made. ``part`` is a part of their names."""
        return await self._domains("list_domains", tenant_id=tenant_id, part=part, limit=limit, offset=offset)

    async def find(self, id: int, tenant_id: str | None) -> SenderDomain | None:
        """A domain; None when there is none, or it is another tenant's."""
        found = await self._domains("find_domain", id=id, tenant_id=tenant_id)
        return found[0] if found else None

    async def named(self, domain: str) -> list[SenderDomain]:
        """The domains of this name (A-labels): several where an older version gave it to several tenants."""
        return await self._domains("domains_named", domain=domain)

    async def default(self, tenant_id: str, domain: str = "") -> SenderDomain | None:
        """The tenant's default domain, else its oldest verified one; None when there is neither. ``domain``: only if it
        has this name."""
        found = await self._domains("default_domain", tenant_id=tenant_id, domain=domain)
        return found[0] if found else None

    async def wrong(self, since: datetime, limit: int) -> list[SenderDomain]:
        """Verified domains whose records have been wrong since ``since`` or longer."""
        return await self._domains("wrong_domains", since=since, limit=limit)

    async def change(
        self, id: int, tenant_id: str | None, *, is_default: bool | None, include_subdomains: bool | None
    ) -> bool:
        """Change a domain; None leaves a value as it is. Returns whether there is such a domain."""
        async with self._database.transaction() as connection:
            changed = await rows(
                connection,
                "change_domain",
                id=id,
                tenant_id=tenant_id,
                is_default=is_default,
                include_subdomains=include_subdomains,
            )
            if changed and is_default:
                await execute(connection, "clear_default", tenant_id=changed[0][0], id=id)
        return bool(changed)

    async def remove(self, id: int, tenant_id: str | None) -> bool:
        """Remove a domain with its keys. Returns whether there was one. Its queued mail fails when it is claimed."""
        return await self._database.execute("remove_domain", id=id, tenant_id=tenant_id) > 0

    async def rotate(self, id: int, keys: Sequence[NewKey], *, now: datetime, look_at: datetime) -> bool:
        """Add pending keys unless the domain has some already. Returns whether they were added."""
        async with self._database.transaction() as connection:
            if not await rows(connection, "lock_domain", id=id):
                return False
            stored = await rows(connection, "keys_of_domains", ids=[id])
            if any(state == KeyState.PENDING for _, _, _, _, state, *_ in stored):
                return False
            await _store_keys(connection, id, keys, KeyState.PENDING, now)
            await execute(connection, "look_at_domain", id=id, at=look_at)
        return True

    async def to_look_at(self, now: datetime, retry_at: datetime, limit: int) -> list[int]:
        """The ids of domains whose look is due. They are due again at ``retry_at`` unless ``looked`` sets another
        time."""
        found = await self._database.rows("domains_to_look_at", now=now, retry_at=retry_at, limit=limit)
        return [id for (id,) in found]

    async def looked(self, id: int, look: Look) -> bool:
        """Store the result of a look: pending keys become active and retire those of their algorithm, and a domain
        whose records are right is verified. Returns whether the domain still exists."""
        async with self._database.transaction() as connection:
            changed = await execute(
                connection,
                "looked_at_domain",
                id=id,
                at=look.at,
                findings=encode(look.findings).decode(),
                selectors=[finding.selector for finding in look.findings if finding.selector],
                look_at=look.next_at,
                is_right=look.is_right,
                is_wrong=look.is_wrong,
            )
            if not changed:
                return False
            if look.activated:
                selectors = list(look.activated)
                await execute(connection, "retire_dkim_keys", id=id, selectors=selectors, at=look.at)
                await execute(connection, "activate_dkim_keys", id=id, selectors=selectors, at=look.at)
            if look.is_right:
                await execute(connection, "verify_domain", id=id, at=look.at)
        return True

    async def signing(self, tenant_id: str, domain: str) -> SigningDomain | None:
        """The verified sender domain that signs the tenant's mail from ``domain``, as in ``Tenant.sender_domain``:
        itself, or the closest parent that includes its sub-domains. None when there is none."""
        name = a_labels(domain)
        found = await self._database.rows(
            "signing", tenant_id=tenant_id, domains=[name, *parents(name)] if name else []
        )
        if not found:
            return None
        sender_domain, return_path, number = found[0][:3]
        keys = tuple(
            DkimKey(algorithm=algorithm, selector=selector, sealed_private_key=bytes(sealed))
            for _, _, _, algorithm, selector, sealed in found
            if sealed is not None
        )
        return SigningDomain(domain=sender_domain, return_path=return_path, tenant_number=number, keys=keys)

    async def _domains(self, statement: str, /, **parameters: Any) -> list[SenderDomain]:
        async with self._database.connection() as connection:
            found = await rows(connection, statement, **parameters)
            if not found:
                return []
            keys = await rows(connection, "keys_of_domains", ids=[row[0] for row in found])
        of_domain = {id: tuple(map(_key, of_id)) for id, of_id in groupby(keys, key=lambda row: row[0])}
        return [_domain(row, of_domain.get(row[0], ())) for row in found]


async def _store_keys(
    connection: AsyncConnection[Row], domain_id: int, keys: Sequence[NewKey], state: KeyState, now: datetime
) -> None:
    for key in keys:
        await execute(
            connection,
            "create_dkim_key",
            domain_id=domain_id,
            algorithm=key.algorithm,
            selector=key.selector,
            public_key=key.public_key,
            sealed_private_key=key.sealed_private_key,
            state=str(state),
            now=now,
        )


def _domain(row: Row, keys: tuple[DomainKey, ...]) -> SenderDomain:
    id, tenant_id, domain, subdomain, include_subdomains, is_default, uses_cnames, created_at, *times, findings = row
    verified_at, checked_at, wrong_since = times
    return SenderDomain(
        id=id,
        tenant_id=tenant_id,
        domain=domain,
        subdomain=subdomain,
        include_subdomains=include_subdomains,
        is_default=is_default,
        uses_cnames=uses_cnames,
        created_at=created_at,
        verified_at=verified_at,
        checked_at=checked_at,
        wrong_since=wrong_since,
        findings=decode(findings),
        keys=keys,
    )


def _key(row: Row) -> DomainKey:
    _, id, algorithm, selector, state, public_key, sealed, created_at, retired_at = row
    return DomainKey(
        id=id,
        algorithm=algorithm,
        selector=selector,
        state=KeyState(state),
        public_key=public_key,
        sealed_private_key=bytes(sealed),
        created_at=created_at,
        retired_at=retired_at,
    )
