"""One source at one site, as policies would have limited it: automation's actions, and how long mail would have waited
for the rate."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from cluster.policy.limits.gcra import Gcra
from cluster.policy.limits.quantities import Rate
from cluster.policy.replies.automation import Action, Adjustments
from cluster.policy.replies.triggers import ReplyFacts, Trigger

Act = Callable[[Action], None]


class Held(Struct):
    """Attempts that would have been held back."""

    count: int = 0
    """By the rate of the rules."""
    longest_s: float = 0.0
    """How long one of these would have waited at most."""
    suspended: int = 0
    """By a suspension that automation would have made."""


class SiteReplay:
    """Under one of the two policies. ``held`` counts what the rate holds back, and ``act`` is called with each
    action of automation."""

    def __init__(self, triggers: Sequence[Trigger], rate: Rate | None, held: Held, now: float, act: Act) -> None:
        self._adjustments = Adjustments(triggers, now)
        self._act = act
        self._pace = Gcra(rate.per_second, max(1.0, rate.per_second)) if rate is not None else None
        self._held = held

    def accepted(self, count: int, now: float) -> None:
        if self._is_passed(count, now, ""):
            for action in self._adjustments.on_accepted(count, now):
                self._act(action)

    def replied(self, facts: ReplyFacts, now: float) -> None:
        if self._is_passed(1, now, facts.tenant_id):
            for action in self._adjustments.on_reply(facts, now):
                self._act(action)

    def _is_passed(self, count: int, now: float, tenant_id: str) -> bool:
        """Whether the attempts would have been made, perhaps later. During a suspension they would not, and automation
        would not have heard of them."""
        if self._adjustments.suspended_until(now, tenant_id):
            self._held.suspended += count
            return False
        if self._pace is None:
            return True
        self._pace.take(count, now)
        wait_s = self._pace.wait_s(now)
        if wait_s > 0:
            self._held.count += count
            self._held.longest_s = max(self._held.longest_s, wait_s)
        return True
