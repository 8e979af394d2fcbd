"""What the other API processes report of their demands, and which of them live. Pure, but for the clock that it is
given.

A process counts as dead when it has reported nothing new for ``SILENT_S``, or ``QUIET_S`` after an empty report, and
for ``LOOKS`` looks: while the journal is away, no process looks.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

SILENT_S = 1.0
QUIET_S = 2.5
LOOKS = 3
MOST_REPORTED = 1000
"""Demands in one report: those nearest to their limits."""

Key = tuple[str, str]
"""A tenant and one of its limits."""
Report = tuple[str, bytes, float]
"""The name of a process, its encoded demands, and the time of its report."""

encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[str, str, float]]).decode


class _Peer:
    __slots__ = ("demands", "heard_at", "looks", "stamp")

    def __init__(self, demands: Mapping[Key, float], stamp: float, heard_at: float) -> None:
        self.demands = demands
        self.stamp = stamp
        self.heard_at = heard_at
        self.looks = 0
        """Looks since then."""

    def is_alive(self, now: float) -> bool:
        return self.looks < LOOKS or now - self.heard_at <= (SILENT_S if self.demands else QUIET_S)


class Peers:
    """The live processes besides this one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._peers: dict[str, _Peer] = {}
        """Those of the last look, and those that live."""
        self._alive = 0
        self._demands: dict[Key, list[float]] = {}

    def __len__(self) -> int:
        return self._alive

    @property
    def ask(self) -> bool:
        """Whether any of them reports a demand."""
        return bool(self._demands)

    def demands(self, key: Key) -> Sequence[float]:
        """What they report for a limit, in 1/s."""
        return self._demands.get(key, ())

    def hear(self, reports: Iterable[Report]) -> None:
        """Take the reports of all processes but this one."""
        now = self._clock()
        for known in self._peers.values():
            known.looks += 1
        named: set[str] = set()
        for name, demands, stamp in reports:
            named.add(name)
            peer = self._peers.get(name)
            if peer is None or peer.stamp != stamp:
                found = {(tenant_id, limit): per_s for tenant_id, limit, per_s in _decode(demands)}
                self._peers[name] = _Peer(found, stamp, now)
        self._peers = {name: peer for name, peer in self._peers.items() if name in named or peer.is_alive(now)}
        alive = [peer for peer in self._peers.values() if peer.is_alive(now)]
        self._alive = len(alive)
        self._demands = {}
        for peer in alive:
            for key, per_s in peer.demands.items():
                self._demands.setdefault(key, []).append(per_s)
