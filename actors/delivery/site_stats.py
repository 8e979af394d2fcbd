"""Statistics of a site's replies: counts, the rate of acceptance, the last replies.

They are shown to operators; no decision depends on them.
"""

import time
from collections import deque
from collections.abc import Callable
from math import inf

from msgspec.structs import replace

from cluster.policy.replies.verdict import Judgement
from cluster.routing.site_state import LastReply

REPLIES_KEPT = 5
REPLY_KEPT = 500
"""Characters of a reply that are shown."""
WINDOW_S = 60
"""Window of the rate of acceptance."""


class SiteStats:
    """``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.counts = dict.fromkeys(Judgement, 0)
        self.began = clock()
        self.transactions = 0
        """Messages carried, whatever the host said to them."""
        self.spent_s = 0.0
        """What their transactions took."""
        self.heard_at = -inf
        """When something was last said or failed."""
        self._clock = clock
        self._replies: deque[LastReply] = deque(maxlen=REPLIES_KEPT)
        self._accepted = ""
        """What was said to the last message that was accepted."""
        self._seconds: deque[list[int]] = deque(maxlen=WINDOW_S)
        """[second, accepted in it], for seconds with acceptances."""

    def add(self, judgement: Judgement, host: str, text: str) -> None:
        self.counts[judgement] += 1
        self.heard_at = self._clock()
        if judgement is Judgement.ACCEPTED:
            second = int(self.heard_at)
            if self._seconds and self._seconds[-1][0] == second:
                self._seconds[-1][1] += 1
            else:
                self._seconds.append([second, 1])
            self._accepted = text
            if self._replies and self._replies[0].kind == judgement and self._replies[0].host == host:
                return  # of acceptances of a host in a row one is kept, with the time and the text of the last
        self._replies.appendleft(LastReply(at=time.time(), host=host, text=text[:REPLY_KEPT], kind=judgement.value))

    def accepted_per_s(self) -> float:
        """Acceptances per second over the last minute, or since the start."""
        now = self._clock()
        recent = sum(count for second, count in self._seconds if second > now - WINDOW_S)
        return recent / max(1.0, min(WINDOW_S, now - self.began))

    def last_replies(self) -> tuple[LastReply, ...]:
        """The newest first."""
        if not self._replies or self._replies[0].kind != Judgement.ACCEPTED:
            return tuple(self._replies)
        accepted, *others = self._replies
        at = time.time() - (self._clock() - self.heard_at)
        return replace(accepted, at=at, text=self._accepted[:REPLY_KEPT]), *others
