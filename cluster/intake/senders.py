"""Checks which domains a tenant may send from. Every entry point checks each sender that a message names."""

from collections.abc import Iterable

from cluster.tenancy.directory import TenantDirectory


async def first_unverified(directory: TenantDirectory, tenant_id: str, domains: Iterable[str]) -> str | None:
    """The first of these domains (A-labels) that the tenant may not send from; None when it may use them all. A domain
    that was verified a moment ago can be used at once. Raises Unavailable when the journal does not answer."""
    tenant = await directory.tenant(tenant_id)
    for domain in domains:
        if tenant is None or tenant.sender_domain(domain) is None:
            tenant = await directory.reloaded(tenant_id)
            if tenant is None or tenant.sender_domain(domain) is None:
                return domain
    return None
