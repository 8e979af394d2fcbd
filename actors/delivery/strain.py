"""How near this actor is to what it can, and how late is what it begins: the supervisor asks for more nodes by it
(``cluster/policy/growth.py``).

An actor is full when its event loop has no moment left, when its window is full of messages on the wire, or when its
mail is late and the machine's processors have no moment left: then a busy loop shows no work, since it waits for its
turn.
"""

from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct

from actors.delivery.site import Site
from cluster.journal.records import Claimed
from cluster.metrics import Gauge

EVERY_S = 1.0
SPAN_S = 10.0
"""What is told is of so many last seconds."""
LATE_S = 1.0
"""With less, an actor has its turns in time, whatever else the machine does."""


class Worked(Struct, frozen=True):
    """Seconds until now, of which only differences say anything."""

    loop_s: float
    """For which the event loop has worked."""
    machine_s: float
    """For which the machine's processors have worked, all together."""
    machine_total_s: float
    """That there were for the machine's processors."""


class _Sample(Struct, frozen=True):
    at: float
    worked: Worked
    on_the_wire: float
    """The part of the window."""
    late_s: float


class Strain:
    """``window``: the deliveries that this actor may hold. ``on_the_wire``: messages that are claimed and not reported.
    ``clock``: monotonic seconds. ``now``: seconds since the epoch."""

    use = Gauge(
        "postray_delivery_use_ratio",
        "Part of what this actor can that it uses: of its event loop, its window, or the machine's processors.",
        lambda strain: strain._use(),
    )
    late = Gauge(
        "postray_delivery_late_seconds",
        "How long the latest of what was first tried in the last seconds had been due, where no limit held it.",
        lambda strain: strain._late(),
    )

    def __init__(
        self,
        window: int,
        on_the_wire: Callable[[], int],
        worked: Callable[[], Worked],
        *,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._window = window
        self._on_the_wire = on_the_wire
        self._worked = worked
        self._clock = clock
        self._now = now
        self._samples: deque[_Sample] = deque()
        self._late_s = 0.0
        """Of what was begun since the last sample."""

    def begins(self, site: Site, deliveries: Sequence[Claimed]) -> None:
        """These are claimed, for one transaction."""
        first = deliveries[0]
        if first.attempts > 1:
            return
        late_s = self._now() - first.dated_at.timestamp()
        if late_s > self._late_s and not site.is_held_back(first.tenant_id):
            self._late_s = late_s

    def measure_if_due(self) -> None:
        """Take a sample, a second after the last one."""
        at = self._clock()
        if self._samples and at < self._samples[-1].at + EVERY_S:
            return
        self._samples.append(_Sample(at, self._worked(), self._on_the_wire() / self._window, self._late_s))
        self._late_s = 0.0
        while self._samples[0].at < at - SPAN_S:
            self._samples.popleft()

    def _late(self) -> float:
        return max((sample.late_s for sample in self._samples), default=0.0)

    def _use(self) -> float:
        if len(self._samples) < 2:
            return 0.0
        first, last = self._samples[0], self._samples[-1]
        began, ended = first.worked, last.worked
        total_s = ended.machine_total_s - began.machine_total_s
        return max(
            (ended.loop_s - began.loop_s) / (last.at - first.at),
            (ended.machine_s - began.machine_s) / total_s if total_s > 0 and self._late() >= LATE_S else 0.0,
            sum(sample.on_the_wire for sample in self._samples) / len(self._samples),
        )
