"""The endpoints in this process, read again when one was changed."""

import time
from collections.abc import Callable, Sequence

from cluster.journal.journal import Journal
from cluster.webhooks.endpoints import Endpoint

NONE_FOR_S = 0.9
"""While there is no endpoint, the journal is asked for one so often at most. Most installations have none."""


class KnownEndpoints:
    """``refresh`` before use: it costs one number while nothing was changed."""

    def __init__(self, journal: Journal, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` is monotonic, in seconds."""
        self._journal = journal
        self._clock = clock
        self._version: int | None = None
        self._none_until = 0.0
        self.by_id: dict[str, Endpoint] = {}
        self._of_tenant: dict[str, list[Endpoint]] = {}

    async def refresh(self) -> bool:
        """Returns whether one was changed since the last call. Raises Unavailable."""
        now = self._clock()
        if now < self._none_until:
            return False
        # Read first: a change after it is found by the next call.
        version = await self._journal.webhooks.version()
        if version == self._version:
            self._none_until = 0.0 if self.by_id else now + NONE_FOR_S
            return False
        found = await self._journal.webhooks.all()
        self.by_id = {one.id: one for one in found}
        self._of_tenant = {}
        for one in found:
            self._of_tenant.setdefault(one.tenant_id, []).append(one)
        self._version = version
        return True

    def of_tenant(self, tenant_id: str) -> Sequence[Endpoint]:
        """The endpoints of a tenant."""
        return self._of_tenant.get(tenant_id, ())
