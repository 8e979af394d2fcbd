"""How API keys are shown. A secret is shown once, by the call that makes its key."""

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from cluster.access.scopes import existing
from cluster.access.terms import KeyKind
from cluster.journal.api_keys import KeyRecord


class KeyView(Struct, kw_only=True):
    """An API key, in SendGrid's shape and with ours. Times are UTC."""

    api_key_id: str
    name: str
    scopes: list[str]
    prefix: str
    """The beginning of the secret."""
    kind: KeyKind
    sandbox: bool
    allowed_networks: list[str]
    """CIDR; empty means any."""
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    """To the minute, some seconds late; null for a key that was never used."""


class MadeKey(KeyView, kw_only=True):
    """A new API key with its secret, which is never shown again."""

    api_key: str


class ShownKey(KeyView, kw_only=True):
    """An API key, also as a list of one, as some clients read it."""

    result: list[KeyView]


class KeyList(Struct, frozen=True):
    """API keys, the oldest first. Both lists are the same."""

    result: list[KeyView]
    api_keys: list[KeyView]


class TenantsKey(KeyView, kw_only=True):
    """An API key for operators."""

    tenant_id: str


class MadeTenantsKey(TenantsKey, kw_only=True):
    """A new API key for operators, with its secret, which is never shown again."""

    api_key: str


class TenantsKeys(Struct, frozen=True):
    """The API keys of a tenant, the oldest first."""

    api_keys: list[TenantsKey]


def view(key: KeyRecord) -> KeyView:
    return KeyView(**_fields(key))


def made(key: KeyRecord, secret: str) -> MadeKey:
    return MadeKey(**_fields(key), api_key=secret)


def shown(key: KeyRecord) -> ShownKey:
    return ShownKey(**_fields(key), result=[view(key)])


def listed(keys: list[KeyRecord]) -> KeyList:
    views = [view(key) for key in keys]
    return KeyList(result=views, api_keys=views)


def tenants_key(key: KeyRecord) -> TenantsKey:
    return TenantsKey(**_fields(key), tenant_id=key.tenant_id)


def made_tenants_key(key: KeyRecord, secret: str) -> MadeTenantsKey:
    return MadeTenantsKey(**_fields(key), tenant_id=key.tenant_id, api_key=secret)


def _fields(key: KeyRecord) -> dict[str, Any]:
    """The fields of a KeyView."""
    return {
        "api_key_id": key.id,
        "name": key.name,
        "scopes": existing(key.scopes),
        "prefix": key.prefix,
        "kind": key.kind,
        "sandbox": key.sandbox,
        "allowed_networks": list(key.allowed_networks),
        "created_at": key.created_at.astimezone(UTC),
        "expires_at": key.expires_at and key.expires_at.astimezone(UTC),
        "last_used_at": key.last_used_at and key.last_used_at.astimezone(UTC),
    }
