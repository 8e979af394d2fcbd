"""A bounded cache whose entries are forgotten after a few seconds: what is asked of the journal with every request."""

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ExpiringCache(Generic[K, V]):
    """Answers that may be ``ttl_s`` old. At most ``entries`` of them; the oldest goes first."""

    def __init__(self, ttl_s: float, entries: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s
        self._entries = entries
        self._clock = clock
        self._kept: dict[K, tuple[float, V]] = {}  # in the order of their time: put() always appends

    def get(self, key: K) -> V | None:
        found = self._kept.get(key)
        if found is None:
            return None
        if self._clock() >= found[0]:
            del self._kept[key]
            return None
        return found[1]

    def put(self, key: K, value: V) -> None:
        self._kept.pop(key, None)
        if len(self._kept) >= self._entries:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (self._clock() + self._ttl_s, value)
