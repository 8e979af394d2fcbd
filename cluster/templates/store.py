"""The compiled versions of templates that a process needs, as long as there is room for them.

Texts are stored by their content and never change, so nothing here becomes stale. A version is compiled in a thread: it
takes some milliseconds, a large one much longer, and the event loop runs between its pieces.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from cluster.journal.journal import Journal
from cluster.metrics import Gauge
from cluster.shared_calls import SharedCalls
from cluster.templates.compiled import CompiledTemplate, compile_texts

MOST_BYTES = 64 * 1024 * 1024
"""The version that was used last stays whatever its size."""

Key = tuple[str, bytes]
"""A tenant's id, and the SHA-256 of the texts."""


class Held(Protocol):
    """What is kept of a version. ``held_bytes``: its memory, about."""

    held_bytes: int


T = TypeVar("T", bound=Held)


class CompiledTemplates(Generic[T]):
    """An LRU cache. ``make`` gives what is kept of a compiled version."""

    held = Gauge("postray_templates_bytes", "Memory of compiled templates at hand.", lambda templates: templates.size)

    def __init__(
        self, journal: Journal, make: Callable[[CompiledTemplate], T], *, most_bytes: int = MOST_BYTES
    ) -> None:
        self._journal = journal
        self._make = make
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Key, T] = OrderedDict()
        self._making: SharedCalls[Key, T | None] = SharedCalls(self._keep)
        self.size = 0
        """Bytes held."""

    async def get(self, tenant_id: str, sha256: bytes) -> T | None:
        """The version with these texts; None when the tenant has none such. Raises Unavailable, and TextFault when its
        texts cannot be compiled any more."""
        key = tenant_id, sha256
        kept = self._kept.get(key)
        if kept is None:
            return await self._making.get(key, self._made)
        self._kept.move_to_end(key)
        return kept

    async def _made(self, key: Key) -> T | None:
        texts = await self._journal.templates.texts(*key)
        return None if texts is None else self._make(await asyncio.to_thread(compile_texts, texts))

    def _keep(self, key: Key, made: T | None) -> None:
        if made is None:
            return
        self._kept[key] = made
        self.size += made.held_bytes
        while self.size > self._most_bytes and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self.size -= dropped.held_bytes
