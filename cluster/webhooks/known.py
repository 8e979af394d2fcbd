"""The endpoints in this process, read again when one was changed."""

from collections.abc import Sequence

from cluster.journal.journal import Journal
from cluster.webhooks.endpoints import Endpoint


class KnownEndpoints:
    """``refresh`` before use: it costs one number while nothing was changed."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._version: int | None = None
        self.by_id: dict[str, Endpoint] = {}
        self._of_tenant: dict[str, list[Endpoint]] = {}

    async def refresh(self) -> bool:
        """Returns whether one was changed since the last call. Raises Unavailable."""
        # Read first: a change after it is found by the next call.
        version = await self._journal.webhooks.version()
        if version == self._version:
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
