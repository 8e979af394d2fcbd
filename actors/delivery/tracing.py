"""The live SMTP dialogue of sites that an operator watches.

A site is traced for some seconds after the last request. Other sites keep nothing and cost nothing.
"""

from collections import deque
from collections.abc import Callable

from actors.smtp.protocol import Observe
from cluster.routing.site_state import TraceLine

LINES_KEPT = 5000
"""Lines kept for each traced site; the oldest are dropped."""
SITES_AT_MOST = 20
LONGEST_S = 3600.0
LONGEST_LINE = 1000


class Trace:
    """The lines of one site."""

    def __init__(self) -> None:
        self.until = 0.0
        self.lines: deque[TraceLine] = deque(maxlen=LINES_KEPT)
        self.count = 0
        self.connections = 0


class Tracer:
    """``clock``: monotonic seconds; ``now``: seconds since the epoch."""

    def __init__(self, clock: Callable[[], float], now: Callable[[], float]) -> None:
        self._clock = clock
        self._now = now
        self._traces: dict[str, Trace] = {}

    def follow(self, site: str, after: int, seconds: float) -> list[TraceLine]:
        """Trace a site for ``seconds`` more. Returns its lines with numbers above ``after``."""
        self._forget()
        if site not in self._traces and len(self._traces) >= SITES_AT_MOST:
            return []
        trace = self._traces.setdefault(site, Trace())
        trace.until = self._clock() + min(max(seconds, 0.0), LONGEST_S)
        return [line for line in trace.lines if line.number > after]

    def is_traced(self, site: str) -> bool:
        """Whether a site is traced now."""
        self._forget()
        return site in self._traces

    def observer(self, site: str) -> Observe | None:
        """The callback for the lines of a new connection of the site; None if the site is not traced."""
        if not self._traces:
            return None
        self._forget()
        trace = self._traces.get(site)
        if trace is None:
            return None
        trace.connections += 1
        name = f"#{trace.connections}"
        return lambda direction, text: self._add(trace, name, direction, text)

    def _add(self, trace: Trace, connection: str, direction: str, text: str) -> None:
        if self._clock() >= trace.until:
            trace.lines.clear()
            return
        for line in text.splitlines() or [""]:
            trace.count += 1
            trace.lines.append(
                TraceLine(
                    number=trace.count,
                    at=self._now(),
                    connection=connection,
                    direction=direction,
                    text=line[:LONGEST_LINE],
                )
            )

    def _forget(self) -> None:
        now = self._clock()
        self._traces = {site: trace for site, trace in self._traces.items() if now < trace.until}
