"""What a tenant needs in order to send: a sender domain with a DKIM key, and an API key."""

from collections.abc import Sequence

from cluster.dkim_keys import generate_rsa_key
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


async def add_key(journal: Journal, tenant_id: str, name: str, scopes: Sequence[str]) -> str:
    """Give a tenant a live API key. Returns its secret, which the journal does not store. Raises Unavailable."""
    secret, prefix, hash = new_key(sandbox=False)
    await journal.api_keys.create(tenant_id, name=name, prefix=prefix, hash=hash, scopes=scopes, sandbox=False)
    return secret
