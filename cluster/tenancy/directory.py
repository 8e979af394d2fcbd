"""The tenants and API keys in one process: each is loaded once and kept until it changes.

A process polls the journal once a second for the tenants that changed, and forgets them. So a change holds everywhere
within ``FRESH_S``, and no request needs a look-up of its own. A process that does not poll in the background
(``run``) polls when it is asked for something and its last poll is too old.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Generic, TypeVar

from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import ApiKey
from cluster.lookup.ttl_cache import TtlCache
from cluster.shared_calls import SharedCalls
from cluster.tenancy.tenant import Tenant

log = logging.getLogger(__name__)

POLL_S = 1.0
FRESH_S = 4.0
"""How long the cache is used after a poll began. A change holds on every node within 5 s."""
TENANTS_KEPT = 20_000
KEYS_KEPT = 20_000
RELOAD_S = 1.0
"""How often at most a tenant is loaded again because something that a client names is missing in its record."""

K = TypeVar("K")
V = TypeVar("V")
Changed = Callable[[Collection[str]], None]
"""Called with the ids of the tenants that changed."""


class TenantDirectory:
    """A cache of tenants by id and of keys by hash. What does not exist is not cached."""

    def __init__(self, journal: Journal, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` is monotonic, in seconds."""
        self._journal = journal
        self._clock = clock
        self._tenants: _Loaded[str, Tenant] = _Loaded(journal.tenants.find, TENANTS_KEPT, clock)
        self._keys: _Loaded[bytes, ApiKey] = _Loaded(journal.api_keys.by_hash, KEYS_KEPT, clock)
        self._reloaded: TtlCache[str, bool] = TtlCache(TENANTS_KEPT, clock)
        """Tenants that were loaded again within ``RELOAD_S``."""
        self._polling: asyncio.Task[None] | None = None
        self._cursor: int | None = None
        self._fresh_until = -math.inf
        self._listeners: list[Changed] = []

    def on_change(self, listener: Changed) -> None:
        """Call ``listener`` whenever a poll finds changed tenants."""
        self._listeners.append(listener)

    async def tenant(self, id: str) -> Tenant | None:
        """The tenant; None when there is none. Raises Unavailable."""
        if self._clock() >= self._fresh_until:
            await self.refresh()
        return self._tenants.get(id) or await self._tenants.load(id)

    def known(self, id: str) -> Tenant | None:
        """The tenant as it was last loaded; None when it changed since the last poll that succeeded, or was not loaded
        yet. While the journal is away this goes on answering."""
        return self._tenants.get(id)

    async def reloaded(self, id: str) -> Tenant | None:
        """The tenant, loaded again unless that was done within ``RELOAD_S``. It is for something that a client names
        and that the record lacks: it may have been made a moment ago in another process. Raises Unavailable."""
        if not self._reloaded.get(id):
            self._reloaded.put(id, True, RELOAD_S)
            self._tenants.forget(id)
        return await self.tenant(id)

    def changed_here(self, id: str) -> None:
        """Forget the tenant: this process has just changed it, and need not wait for the next poll."""
        self._forget((id,))

    async def key(self, hash: bytes) -> ApiKey | None:
        """The API key with this SHA-256; None when there is none or it is revoked. Raises Unavailable."""
        if self._clock() >= self._fresh_until:
            await self.refresh()
        return self._keys.get(hash) or await self._keys.load(hash)

    async def ensure_fresh(self) -> None:
        """Poll the journal for changes unless the last poll is recent, so that listeners know what changed. Raises
        Unavailable."""
        if self._clock() >= self._fresh_until:
            await self.refresh()

    async def refresh(self) -> None:
        """Poll the journal for changes now; concurrent callers share a poll. Raises Unavailable."""
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll(), name="tenants")
        # Shielded: a client that disconnects must not cancel the poll for the others.
        await asyncio.shield(self._polling)

    async def run(self) -> None:
        """Keep the cache fresh until cancelled."""
        while True:
            try:
                await self.refresh()
            except Unavailable as error:
                log.warning("tenants not refreshed reason=%r", error.reason)
            await asyncio.sleep(POLL_S)

    async def _poll(self) -> None:
        began = self._clock()
        try:
            self._cursor, changed = await self._journal.tenants.changed(self._cursor)
            if changed:
                self._forget(changed)
            self._fresh_until = began + FRESH_S
        finally:
            self._polling = None

    def _forget(self, changed: Collection[str]) -> None:
        self._tenants.forget_where(lambda id, _: id in changed)
        self._keys.forget_where(lambda _, key: key.tenant_id in changed)
        for listener in self._listeners:
            listener(changed)


class _Loaded(Generic[K, V]):
    """Values that are loaded once, for all callers that wait for them, and kept until they are forgotten."""

    def __init__(self, find: Callable[[K], Awaitable[V | None]], kept: int, clock: Callable[[], float]) -> None:
        self._find = find
        self._kept: TtlCache[K, V] = TtlCache(kept, clock)
        self._loading: SharedCalls[K, V | None] = SharedCalls(self._keep)
        self.get = self._kept.get

    async def load(self, key: K) -> V | None:
        return await self._loading.get(key, self._find)

    def forget(self, key: K) -> None:
        self._kept.forget(key)
        self._loading.forget(key)

    def forget_where(self, is_changed: Callable[[K, V], bool]) -> None:
        # A value that is being loaded is not known yet, so all of them count as changed.
        self._loading.forget_all()
        self._kept.forget_where(is_changed)

    def _keep(self, key: K, value: V | None) -> None:
        if value is not None:
            self._kept.put(key, value, math.inf)
