"""What the tests' applications need of sender domains."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from cluster.journal.journal import Journal
from cluster.tenancy.domains.domain import NewDomain, NewKey
from cluster.tenancy.domains.managing import DomainManager
from cluster.tenancy.domains.records import Publishing
from cluster.vault import Vault

SECRET = "A" * 43 + "="
PUBLISHING = Publishing(
    bounce_host="mx.postray.example", spf_terms=("ip4:192.0.2.1",), addresses=("192.0.2.1",), cname_target=""
)


async def _no_look(id: int) -> None:
    """As if the DNS had nothing to say."""


def a_manager(
    journal: Journal,
    *,
    vault: Vault | None = None,
    publishing: Callable[[], Publishing] = lambda: PUBLISHING,
    verify: Callable[[int], Awaitable[None]] = _no_look,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> DomainManager:
    return DomainManager(journal, vault or Vault(SECRET), publishing=publishing, verify=verify, now=now)


async def a_domain(
    journal: Journal,
    tenant_id: str,
    domain: str,
    *,
    verified: bool = True,
    selector: str = "s1",
    public_key: str = "AAA=",
    sealed_private_key: bytes = b"x",
    subdomain: str = "",
) -> int:
    """A sender domain with one RSA key, as older versions made them unless there is a ``subdomain``; returns its id."""
    key = NewKey(algorithm="rsa", selector=selector, public_key=public_key, sealed_private_key=sealed_private_key)
    new = NewDomain(tenant_id=tenant_id, domain=domain, subdomain=subdomain, is_verified=verified, keys=[key])
    return await journal.sender_domains.add(new, now=datetime.now(UTC))
