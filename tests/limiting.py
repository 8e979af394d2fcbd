"""The limits of tenants for an API in a test."""

import time

from msgspec import structs

from cluster.journal.journal import Journal
from cluster.settings import LimitSettings
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.limiter import Clock, TenantLimiter
from cluster.tenancy.limits import RequestLimits

DEFAULT_LIMITS = RequestLimits(**structs.asdict(LimitSettings()))


def a_limiter(
    journal: Journal, directory: TenantDirectory, process: str = "api-test", clock: Clock = time.monotonic
) -> TenantLimiter:
    """A limiter that exchanges nothing with others before it is asked to."""
    return TenantLimiter(process, journal.tenant_load, directory, DEFAULT_LIMITS, clock=clock)
