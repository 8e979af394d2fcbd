"""When the journal did not answer a process: stretches of time, made of the calls that failed or took long. No I/O."""

SLOW_S = 1.5
"""A single statement that takes longer found the journal silent: less is a busy machine."""
APART_S = 1.0
"""Calls with less between them are of one stretch."""
MOST = 100
"""Stretches that are kept until they are taken: the newest."""

Stretch = tuple[float, float]
"""From and until when, in seconds since the epoch."""


class Silences:
    """Of one process. The calls are noted in the order of their ends."""

    def __init__(self) -> None:
        self._stretches: list[Stretch] = []

    def failed(self, took_s: float, now: float) -> None:
        """A call failed at ``now``, in seconds since the epoch."""
        begin = now - took_s
        while self._stretches and self._stretches[-1][1] >= begin - APART_S:
            begin = min(begin, self._stretches.pop()[0])
        self._stretches = [*self._stretches[1 - MOST :], (begin, now)]

    def answered(self, took_s: float, now: float) -> None:
        """A single statement was answered at ``now``."""
        if took_s >= SLOW_S:
            self.failed(took_s, now)

    def take(self, now: float) -> list[Stretch]:
        """The stretches that are over; they are told once."""
        over = [one for one in self._stretches if one[1] < now - APART_S]
        self._stretches = [one for one in self._stretches if one[1] >= now - APART_S]
        return over
