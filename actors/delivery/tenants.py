"""The tenants at one site: the limits of each, and which tenants the queue holds back because of them."""

from collections.abc import Callable
from math import inf
from typing import Protocol

from msgspec import Struct

from cluster.policy.limits.gcra import Gcra
from cluster.policy.limits.shaping import TenantLimits
from cluster.policy.routes.destinations import Destination


class Holding(Protocol):
    """A queue that can skip a tenant (fairness.FairQueue)."""

    def hold(self, tenant: str) -> None: ...

    def release(self, tenant: str) -> None: ...


class _Tenant(Struct):
    limits: TenantLimits
    rate: Gcra | None
    in_flight: int = 0
    held_until: float = 0.0
    """0: it is not held back; infinite: until one of its transactions ends."""
    suspended_until: float = 0.0


class Tenants:
    """Keeps an entry for a tenant only while it has limits at the site and something to limit."""

    def __init__(self, place: Destination, limits_of: Callable[[str], TenantLimits], queue: Holding) -> None:
        self._place = place
        self._limits_of = limits_of
        self._queue = queue
        self._known: dict[str, _Tenant] = {}
        self._took_over_at = -inf

    def shape(self, limits_of: Callable[[str], TenantLimits], now: float) -> None:
        """Set new limits."""
        self._limits_of = limits_of
        for tenant_id, tenant in self._known.items():
            tenant.limits = limits_of(tenant_id)
            tenant.rate = self._rate(tenant.limits, tenant.rate, now)
            self._hold(tenant_id, tenant, self._held_until(tenant, now))

    def took_over(self, at: float, now: float) -> None:
        """Another actor has perhaps begun a transaction of each tenant at this time."""
        self._took_over_at = at
        for tenant_id, tenant in self._known.items():
            if tenant.rate is not None:
                tenant.rate.taken_elsewhere(at)
                self._hold(tenant_id, tenant, self._held_until(tenant, now))

    def queued(self, tenant_id: str, now: float) -> None:
        """Mail of this tenant waits. It may have to, for what another actor has sent."""
        if self._took_over_at == -inf or tenant_id in self._known or self._limits_of(tenant_id).message_rate is None:
            return
        tenant = self._tenant(tenant_id)
        self._hold(tenant_id, tenant, self._held_until(tenant, now))

    def suspend(self, tenant_id: str, until: float) -> None:
        self._tenant(tenant_id).suspended_until = until

    def is_suspended(self, tenant_id: str, now: float) -> bool:
        tenant = self._known.get(tenant_id)
        return tenant is not None and now < tenant.suspended_until

    def is_held(self, tenant_id: str) -> bool:
        """Whether its limits hold the tenant back."""
        tenant = self._known.get(tenant_id)
        return tenant is not None and tenant.held_until > 0

    def began(self, tenant_id: str, now: float) -> None:
        """Count a transaction of this tenant as in flight."""
        limits = self._limits_of(tenant_id)
        if tenant_id not in self._known and limits.message_rate is None and not limits.connections:
            return
        tenant = self._tenant(tenant_id)
        tenant.in_flight += 1
        if tenant.rate is not None:
            tenant.rate.take(1, now)
        if until := self._held_until(tenant, now):
            self._hold(tenant_id, tenant, until)

    def ended(self, tenant_id: str, now: float) -> None:
        """A transaction of this tenant has ended."""
        tenant = self._known.get(tenant_id)
        if tenant is None or not tenant.in_flight:
            return
        tenant.in_flight -= 1
        if tenant.held_until == inf:
            self._hold(tenant_id, tenant, self._held_until(tenant, now))

    def release(self, now: float) -> None:
        """Release the tenants whose hold has expired, and drop idle entries."""
        for tenant_id, tenant in list(self._known.items()):
            if tenant.held_until and tenant.held_until <= now:
                self._hold(tenant_id, tenant, 0.0)
            idle = not tenant.in_flight and not tenant.held_until and tenant.suspended_until <= now
            if idle and (tenant.rate is None or not tenant.rate.wait_s(now)):
                del self._known[tenant_id]

    def wake_at(self) -> float:
        """When the next tenant is released; infinite if that does not depend on the time."""
        return min((tenant.held_until for tenant in self._known.values() if tenant.held_until), default=inf)

    def _held_until(self, tenant: _Tenant, now: float) -> float:
        """Until when its limits hold the tenant back; 0: they do not."""
        limit = tenant.limits.connections
        if limit and tenant.in_flight >= self._place.part_of(limit):
            return inf
        wait = tenant.rate.wait_s(now) if tenant.rate is not None else 0.0
        return now + wait if wait else 0.0

    def _hold(self, tenant_id: str, tenant: _Tenant, until: float) -> None:
        tenant.held_until = until
        if until:
            self._queue.hold(tenant_id)
        else:
            self._queue.release(tenant_id)

    def _tenant(self, tenant_id: str) -> _Tenant:
        tenant = self._known.get(tenant_id)
        if tenant is None:
            limits = self._limits_of(tenant_id)
            tenant = self._known[tenant_id] = _Tenant(limits, self._rate(limits, None, 0.0))
        return tenant

    def _rate(self, limits: TenantLimits, former: Gcra | None, now: float) -> Gcra | None:
        if limits.message_rate is None:
            return None
        rate = limits.message_rate.per_second / self._place.shares
        if former is None:
            made = Gcra(rate, 1)
            if self._took_over_at > -inf:
                made.taken_elsewhere(self._took_over_at)
            return made
        former.change(rate, 1, now)
        return former
