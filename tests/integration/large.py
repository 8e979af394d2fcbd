"""A worker for large requests over a test's journal. Its process starts with the first request."""

from collections.abc import Callable

from api.send.large.frames import Setup
from api.send.large.requests import LargeRequests
from cluster.journal.records import DueDelivery
from cluster.tenancy.limiter import TenantLimiter


def large_requests(
    dsn: str, limiter: TenantLimiter, due: Callable[[list[DueDelivery]], object] = lambda _: None
) -> LargeRequests:
    setup = Setup(
        dsn=dsn,
        application="test-large",
        offer_grace_s=0,
        lifetime_s=3600,
        public_url="http://127.0.0.1",
        max_body_bytes=20 * 1024 * 1024,
    )
    return LargeRequests(setup, due, limiter, lambda: ())
