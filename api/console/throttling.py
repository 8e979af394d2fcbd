"""Slows down who tries tokens: after a wrong one, further attempts from the address are refused for a while, longer
each time. A bounded table; a right token is forgotten at once. Pure, but for the clock that it is given."""

from collections import OrderedDict
from collections.abc import Callable

from cluster.access.login_failures import Failures

_KEPT = 10_000


class LoginThrottle:
    """``clock``: monotonic seconds. Addresses as ``address_key`` gives them."""

    def __init__(self, clock: Callable[[], float], kept: int = _KEPT) -> None:
        self._clock = clock
        self._kept = kept
        self._failures = Failures(clock, kept)
        self._closed_until: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """For how long attempts from the address are refused; 0 when they are not."""
        return max(0.0, self._closed_until.get(address, 0.0) - self._clock())

    def failed(self, address: str) -> float:
        """Count a wrong token; returns for how long further attempts are refused."""
        pause_s = self._failures.add(address)
        self._closed_until.pop(address, None)
        self._closed_until[address] = self._clock() + pause_s
        while len(self._closed_until) > self._kept:
            self._closed_until.popitem(last=False)
        return pause_s

    def succeeded(self, address: str) -> None:
        self._failures.forget(address)
        self._closed_until.pop(address, None)
