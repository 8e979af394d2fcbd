"""A tenant with a sender domain and an API key, until there is a command or a route for it.

    .venv/bin/python examples/new_tenant.py NAME DOMAIN

Run it in the folder that has ``postray.toml``, while postray runs. It prints the key, which is kept nowhere, and the
DKIM record that the domain's owner publishes. It marks the domain as verified without looking at the DNS: give it
domains of your own only. A tenant of that name that exists gets a further key and a further domain.
"""

import asyncio
import sys
from pathlib import Path

from cluster.commands.instance import settings_of
from cluster.demo import SCOPES, SELECTOR
from cluster.dkim_keys import generate_rsa_key, record_name, record_text
from cluster.installation.embedded import journal_dsn
from cluster.journal.journal import Journal
from cluster.keys import new_key
from cluster.vault import Vault, find_secret


async def main(name: str, domain: str) -> None:
    settings = settings_of(None)
    secret = find_secret(settings.secret, Path(settings.data_dir))
    if secret is None:
        sys.exit(f"no secret in the settings or in {settings.data_dir}: start postray first")
    journal = Journal(journal_dsn(settings), application="new_tenant", connections=1)
    await journal.open()
    try:
        tenant_id = await journal.accounts.tenant_named(name) or await journal.accounts.create_tenant(name)
        private_key, public_key = generate_rsa_key()
        sealed = Vault(secret).seal(private_key)
        await journal.accounts.create_domain(
            tenant_id, domain, verified=True, selector=SELECTOR, public_key=public_key, sealed_private_key=sealed
        )
        key, prefix, hash = new_key(sandbox=False)
        await journal.accounts.create_key(tenant_id, name=name, prefix=prefix, hash=hash, scopes=SCOPES, sandbox=False)
    finally:
        await journal.close()
    print(f"tenant   {tenant_id}\nkey      {key}\n")
    print(f'{record_name(domain, SELECTOR)}. TXT "{record_text(public_key)}"')


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: new_tenant.py NAME DOMAIN")
    asyncio.run(main(*sys.argv[1:]))
