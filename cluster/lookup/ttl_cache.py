"""A bounded cache: each value has its own TTL, and the least recently used value is evicted first."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class TtlCache(Generic[K, V]):
    """A cache of at most ``entries`` values and ``most_bytes`` bytes. ``weigh`` returns the size of a value; it is for
    values whose size remote hosts decide.

    ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        entries: int,
        clock: Callable[[], float],
        *,
        most_bytes: int = 0,
        weigh: Callable[[V], int] = lambda _: 0,
    ) -> None:
        self._entries = entries
        self._clock = clock
        self._most_bytes = most_bytes
        self._weigh = weigh
        self._bytes = 0
        self._values: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        found = self._values.get(key)
        if found is None:
            return None
        value, ends_at = found
        if self._clock() >= ends_at:
            self.forget(key)
            return None
        self._values.move_to_end(key)
        return value

    def keys(self) -> list[K]:
        """The keys of all values that have not expired."""
        now = self._clock()
        return [key for key, (_, ends_at) in self._values.items() if now < ends_at]

    def put(self, key: K, value: V, ttl_s: float) -> None:
        self.forget(key)
        self._values[key] = (value, self._clock() + ttl_s)
        self._bytes += self._weigh(value)
        while len(self._values) > self._entries or (self._bytes > self._most_bytes and len(self._values) > 1):
            self.forget(next(iter(self._values)))

    def forget(self, key: K) -> None:
        if (found := self._values.pop(key, None)) is not None:
            self._bytes -= self._weigh(found[0])

    def forget_where(self, is_meant: Callable[[K, V], bool]) -> None:
        for key in [key for key, (value, _) in self._values.items() if is_meant(key, value)]:
            self.forget(key)

    def clear(self) -> None:
        self._values.clear()
        self._bytes = 0
