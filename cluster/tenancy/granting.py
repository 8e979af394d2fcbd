"""What a tenant needs in order to send: a sender domain with a DKIM key, and an API key."""

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import Struct

from cluster.access.terms import KeyKind
from cluster.dkim_keys import generate_rsa_key
from cluster.journal.api_keys import KeyRecord
from cluster.journal.journal import Journal
from cluster.keys import new_key
from cluster.vault import Vault

SELECTOR = "postray"


async def add_verified_domain(journal: Journal, vault: Vault, tenant_id: str, domain: str) -> str:
    """Give a tenant a sender domain with a new RSA key, verified without a look at the DNS.

    Returns the ``p=`` value of the key's record. Raises Unavailable.
    """
    private_key, public_key = generate_rsa_key()
    await journal.sender_domains.create(
        tenant_id,
        domain,
        verified=True,
        selector=SELECTOR,
        public_key=public_key,
        sealed_private_key=vault.seal(private_key),
    )
    return public_key


class NewKey(Struct, frozen=True):
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
) -> NewKey:
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
    return NewKey(record, secret)
