"""What a tenant needs in order to send: a sender domain with a DKIM key, and an API key."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from cluster.access.terms import KeyKind
from cluster.journal.api_keys import KeyRecord
from cluster.journal.journal import Journal
from cluster.keys import new_key
from cluster.tenancy.domains.domain import NewDomain
from cluster.tenancy.domains.managing import new_keys
from cluster.tenancy.domains.names import DEFAULT_SELECTOR, next_selectors
from cluster.vault import Vault


async def add_verified_domain(journal: Journal, vault: Vault, tenant_id: str, domain: str) -> None:
    """Give a tenant a sender domain whose keys sign at once, verified without a look at the DNS. Its return path is the
    domain itself. Raises Unavailable, Held."""
    selectors = [DEFAULT_SELECTOR, *next_selectors([DEFAULT_SELECTOR], 1)]
    new = NewDomain(
        tenant_id=tenant_id, domain=domain, subdomain="", is_verified=True, keys=await new_keys(vault, selectors)
    )
    await journal.sender_domains.add(new, now=datetime.now(UTC))


class IssuedKey(Struct, frozen=True):
    """A new API key and its secret, which is stored nowhere."""

    record: KeyRecord
    secret: str


async def add_key(
    journal: Journal,
    tenant_id: str,
    name: str,
    scopes: Collection[str],
    *,
    sandbox: bool = False,
    kind: KeyKind = "api",
    expires_at: datetime | None = None,
    allowed_networks: Sequence[str] = (),
) -> IssuedKey:
    """Give a tenant an API key. The journal does not store its secret. Raises TooManyKeys, Unavailable."""
    secret, prefix, hash = new_key(sandbox, kind)
    record = await journal.api_keys.create(
        tenant_id,
        name=name,
        prefix=prefix,
        hash=hash,
        scopes=scopes,
        sandbox=sandbox,
        kind=kind,
        expires_at=expires_at,
        allowed_networks=allowed_networks,
    )
    return IssuedKey(record, secret)
