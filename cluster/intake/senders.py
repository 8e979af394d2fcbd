"""Checks which domains a tenant may send from. Every entry point checks each sender that a message names."""

from collections.abc import Iterable

from cluster.journal.journal import Journal
from cluster.policy.routes.domains import domain_of, parents
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.tenant import Tenant

NOT_VERIFIED = "Sender domain not verified"
"""The start of the error text, at acceptance and at delivery; clients compare it."""


async def first_unverified(directory: TenantDirectory, tenant: Tenant, domains: Iterable[str]) -> str | None:
    """The first of these domains (A-labels) that the tenant may not send from; None when it may use them all. A domain
    that was verified a moment ago can be used at once. Raises Unavailable when the journal does not answer."""
    for domain in domains:
        if tenant.sender_domain(domain) is None:
            reloaded = await directory.reloaded(tenant.id)
            if reloaded is None or reloaded.sender_domain(domain) is None:
                return domain
            tenant = reloaded
    return None


async def tenant_of_sender(journal: Journal, email: str) -> str | None:
    """The tenant that may send from an address, for the installation's own mail; None when none may. Raises
    Unavailable."""
    domain = domain_of(email)
    for name in (domain, *parents(domain)):
        for found in await journal.sender_domains.named(name):
            if found.verified_at is not None and (name == domain or found.include_subdomains):
                return found.tenant_id
    return None
