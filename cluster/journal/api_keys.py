"""The journal's part for API keys."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from cluster.access.scopes import KEY_ADMIN
from cluster.access.terms import KeyKind, terms_of
from cluster.ids import new_id
from cluster.journal.database import JournalPart, Rejected, Row, execute, rows
from cluster.journal.records import ApiKey

MOST_KEYS = 1000
"""The most keys of a tenant that are not revoked."""


class TooManyKeys(Exception):
    """The tenant has ``MOST_KEYS`` already."""


class LastAdminKey(Exception):
    """The change would leave a tenant without a key that may manage keys."""


class KeyRecord(Struct, frozen=True, kw_only=True):
    """An API key as its tenant sees it."""

    id: str
    tenant_id: str
    name: str
    prefix: str
    scopes: frozenset[str]
    sandbox: bool
    kind: KeyKind
    expires_at: datetime | None
    allowed_networks: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime | None
    """To the minute."""


class ApiKeys(JournalPart):
    """Creates, changes and finds API keys. Their secrets are not stored."""

    async def by_hash(self, hash: bytes) -> ApiKey | None:
        """The key with this SHA-256 hash; None when there is none, or it or its tenant is no more."""
        row = await self._database.row("key_by_hash", hash=hash)
        if row is None:
            return None
        id, tenant_id, scopes, sandbox, kind, expires_at, networks = row
        terms = terms_of(kind, expires_at, networks)
        return ApiKey(id=id, tenant_id=tenant_id, scopes=frozenset(scopes), sandbox=sandbox, terms=terms)

    async def create(
        self,
        tenant_id: str,
        *,
        name: str,
        prefix: str,
        hash: bytes,
        scopes: Iterable[str],
        sandbox: bool,
        kind: KeyKind = "api",
        expires_at: datetime | None = None,
        allowed_networks: Sequence[str] = (),
    ) -> KeyRecord:
        """Create an API key. ``hash`` is the SHA-256 of its secret. Raises TooManyKeys, and Rejected for a tenant
        that does not exist."""
        async with self._database.transaction() as connection:
            if not await rows(connection, "lock_tenant", id=tenant_id):
                raise Rejected(f"there is no tenant {tenant_id}")
            ((count,),) = await rows(connection, "count_keys", tenant_id=tenant_id)
            if count >= MOST_KEYS:
                raise TooManyKeys
            created = await rows(
                connection,
                "create_key",
                id=new_id("key_"),
                tenant_id=tenant_id,
                name=name,
                prefix=prefix,
                hash=hash,
                scopes=sorted(scopes),
                sandbox=sandbox,
                kind=kind,
                expires_at=expires_at,
                allowed_networks=list(allowed_networks),
            )
        return _record(created[0])

    async def of_tenant(
        self, tenant_id: str, *, sandbox_only: bool = False, limit: int | None = None
    ) -> list[KeyRecord]:
        """The tenant's keys that are not revoked, the oldest first."""
        found = await self._database.rows(
            "keys_of_tenant", tenant_id=tenant_id, sandbox_only=sandbox_only, limit=limit or MOST_KEYS
        )
        return list(map(_record, found))

    async def find(self, id: str) -> KeyRecord | None:
        """A key of any tenant; None when there is none or it is revoked."""
        row = await self._database.row("key", id=id)
        return _record(row) if row else None

    async def change(
        self, key: KeyRecord, *, name: str, scopes: Collection[str] | None, keep_admin: bool = False
    ) -> KeyRecord | None:
        """Set a key's name and, unless None, its scopes; None when it was revoked meanwhile. Raises LastAdminKey with
        ``keep_admin`` when no key of the tenant could manage keys any more."""
        async with self._database.transaction() as connection:
            await rows(connection, "lock_tenant", id=key.tenant_id)
            if keep_admin and scopes is not None and KEY_ADMIN not in scopes:
                await self._check_admin(connection, key)
            listed = None if scopes is None else sorted(scopes)
            changed = await rows(connection, "change_key", id=key.id, tenant_id=key.tenant_id, name=name, scopes=listed)
        return _record(changed[0]) if changed else None

    async def revoke(self, key: KeyRecord, *, keep_admin: bool = False) -> bool:
        """Revoke a key; False when it was revoked already. Raises LastAdminKey as ``change``."""
        async with self._database.transaction() as connection:
            await rows(connection, "lock_tenant", id=key.tenant_id)
            if keep_admin:
                await self._check_admin(connection, key)
            return bool(await execute(connection, "revoke_key", id=key.id, tenant_id=key.tenant_id))

    async def _check_admin(self, connection: Any, key: KeyRecord) -> None:
        """Raises LastAdminKey when this key may manage keys and no other live key of the tenant may."""
        if KEY_ADMIN not in key.scopes or key.sandbox or key.kind != "api":
            return
        ((exists,),) = await rows(
            connection, "has_other_admin_key", tenant_id=key.tenant_id, id=key.id, scope=KEY_ADMIN
        )
        if not exists:
            raise LastAdminKey

    async def widen(self, id: str, scopes: Iterable[str]) -> None:
        """Give a key these scopes, unless it has all of them."""
        await self._database.execute("widen_key", id=id, scopes=sorted(scopes))

    async def used(self, times: Mapping[str, datetime]) -> None:
        """Record when keys were last used, by their ids."""
        await self._database.execute("keys_used", ids=list(times), at=list(times.values()))


def _record(row: Row) -> KeyRecord:
    id, tenant_id, name, prefix, scopes, sandbox, kind, expires_at, networks, created_at, last_used_at = row
    return KeyRecord(
        id=id,
        tenant_id=tenant_id,
        name=name,
        prefix=prefix,
        scopes=frozenset(scopes),
        sandbox=sandbox,
        kind=kind,
        expires_at=expires_at,
        allowed_networks=tuple(networks),
        created_at=created_at,
        last_used_at=last_used_at,
    )
