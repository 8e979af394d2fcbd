"""The demo data that the first ``up`` makes for the printed curl: a tenant, a verified sender domain, an API key.

The domain is reserved for examples (RFC 2606), and its mail goes to the capture sink. The journal does not store the
secret of the key; it is in data_dir/demo.key, which only its owner can read.
"""

from pathlib import Path

from cluster.access.scopes import SCOPES
from cluster.installation.local_secrets import DEMO_KEY, demo_key
from cluster.installation.private_files import write_whole
from cluster.journal.journal import Journal
from cluster.keys import key_hash, new_key
from cluster.tenancy.granting import add_verified_domain
from cluster.vault import Vault

TENANT = "demo"
DOMAIN = "mail.example.com"


async def ensure_demo(journal: Journal, vault: Vault, data_dir: Path) -> str:
    """The demo tenant's API key. The tenant, the domain and the key are made where they are missing.

    Raises Unavailable; Unsafe for a damaged demo.key; WrongKey when the journal's signing keys were encrypted with
    another secret, since then no mail could be signed.
    """
    tenant_id = await journal.tenants.named(TENANT) or await journal.tenants.create(TENANT)
    await _ensure_domain(journal, vault, tenant_id)
    return await _ensure_key(journal, tenant_id, data_dir)


async def _ensure_domain(journal: Journal, vault: Vault, tenant_id: str) -> None:
    existing = await journal.sender_domains.signing(tenant_id, DOMAIN)
    if existing is not None:
        for key in existing.keys:
            vault.open(key.sealed_private_key)
    else:
        await add_verified_domain(journal, vault, tenant_id, DOMAIN)


async def _ensure_key(journal: Journal, tenant_id: str, data_dir: Path) -> str:
    """The stored key if this journal knows it, else a new one. It has every scope, also where an older version made it
    with fewer. A new key is written to its file before the journal."""
    kept = demo_key(data_dir)
    if kept is not None and (known := await journal.api_keys.by_hash(key_hash(kept))) is not None:
        await journal.api_keys.widen(known.id, SCOPES)
        return kept
    secret, prefix, hash = new_key(sandbox=False)
    write_whole(data_dir / DEMO_KEY, secret.encode())
    await journal.api_keys.create(tenant_id, name="demo", prefix=prefix, hash=hash, scopes=SCOPES, sandbox=False)
    return secret
