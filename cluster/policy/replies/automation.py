"""Automation: a site's replies lower its limits at once; successful deliveries raise them slowly.

Additive increase, multiplicative decrease (Chiu and Jain, 1989; RFC 5681): a site that says "slow down" gets a part of
the rate that it was just accepting, plus a twentieth of that rate for every minute in which deliveries succeed. This
finds a limit that the site does not publish, stays near it, and outgrows it when the site relaxes.

The state belongs to one source at one site, in the actor that owns it, in bounded memory. It is lost with the actor
and built again from the next replies. ``now`` is in seconds, of a monotonic clock.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from math import inf

from msgspec import Struct

from cluster.policy.limits.quantities import duration_text
from cluster.policy.replies.bounce_rules import normalised
from cluster.policy.replies.triggers import ActionKind, ReplyFacts, Trigger

MEASURED_S = 15.0
"""The accepted rate is measured over one to two of these spans; a rise is considered once per span."""
RISE_EVERY_S = 60.0
RISE_AFTER = 10
"""Deliveries that must have succeeded since the last change before a limit rises."""
RISE_BY = 0.05
"""The step up, as a part of the rate or the connections before the decrease: ten steps from half of it."""
RISE_FREELY_BY = 0.25
"""The step up as a part of the rate, where no known rate speaks against it: at twice the rate of the last complaint
the site has changed; after a complaint about the first messages the right rate is unknown."""
RELAXED_AT = 2.0
SETTLE_S = 10.0
"""For this long after a decrease, replies to mail that was already under way cause no further one."""
LOWEST_RATE = 0.1
"""Messages a second that always remain, however often the site complains; suspensions stop a site."""
UNKNOWN_RATE = 1.0
"""Messages a second, used as the accepted rate when almost nothing was accepted lately."""
LOWEST_SHARE = 0.01
"""The smallest share of the connections; at least one remains."""
FORGOTTEN_S = 86400.0
"""After this time without a further complaint, the rules' limits apply again."""
MOST_TENANTS = 500
"""Tenants that may be suspended or counted at one time; beyond it, those whose time ends first are dropped."""


class Action(Struct, frozen=True, kw_only=True):
    """A change to a site's limits, for the journal and for operators."""

    kind: ActionKind
    trigger: str
    """"" for a limit that rose."""
    factor: float = 1.0
    until: float
    """When a suspension ends, or the limit may begin to rise."""
    tenant_id: str = ""
    detail: str = ""
    """A description such as "12.5 messages/s"."""
    reply: str = ""
    """The reply that caused it."""


NOTHING: Sequence[Action] = ()


class Adjustments:
    """The adjusted limits and the suspensions of one source at one site."""

    def __init__(self, triggers: Sequence[Trigger], now: float, *, shares: int = 1) -> None:
        """``triggers``: those that apply to this site, in the order of checking. ``shares``: the number of shares of
        the site. This object sees one share of the deliveries and multiplies its counts accordingly."""
        self._triggers = triggers
        self._shares = shares
        self._rate = inf
        """Messages a second; infinite while the rate is not lowered."""
        self._rate_before = inf
        """The base of the steps up: the rate at the last complaint, or a higher one reached since."""
        self._known_rate = 0.0
        """The accepted rate at the last complaint; 0 when there was too little mail to measure it."""
        self._share = 1.0
        """The share of the connections."""
        self._suspended: dict[str, tuple[float, str]] = {}
        """The end of each suspension and its trigger, by tenant; "" is the whole site."""
        self._counts: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()
        """Times of matches, by trigger and, for suspensions of tenants, by tenant."""
        self._settled_at: dict[ActionKind, float] = {}
        self._rise_at = inf
        self._complained_at = -inf
        self._lowered_by: dict[ActionKind, str] = {}
        self._succeeded = 0
        self._accepted = 0
        self._accepted_before = 0
        self._measured_since = now
        self._measured_before_since = now
        self._measured_until = now + MEASURED_S

    def follow(self, triggers: Sequence[Trigger]) -> None:
        """Use the changed rules. Lowered limits and suspensions stay until they rise or end."""
        self._triggers = triggers

    def on_reply(self, reply: ReplyFacts, now: float) -> Sequence[Action]:
        """Handle a reply that was not an acceptance. Its effects apply when this returns."""
        words = normalised(reply.text).strip()
        trigger = next((trigger for trigger in self._triggers if trigger.matches(reply, words)), None)
        if trigger is None or trigger.action is ActionKind.IGNORE:
            return NOTHING
        tenant_id = reply.tenant_id if trigger.action is ActionKind.SUSPEND_TENANT else ""
        if trigger.action is ActionKind.SUSPEND_TENANT and not tenant_id:
            return NOTHING
        if not self._is_reached(trigger, tenant_id, now):
            return NOTHING
        match trigger.action:
            case ActionKind.SLOW_DOWN:
                detail = self._slow_down(trigger, now)
            case ActionKind.FEWER_CONNECTIONS:
                detail = self._connect_less(trigger, now)
            case _:
                detail = self._suspend(trigger, tenant_id, now)
        if not detail:
            return NOTHING
        return (
            Action(
                kind=trigger.action,
                trigger=trigger.name,
                factor=trigger.factor,
                until=now + trigger.for_s,
                tenant_id=tenant_id,
                detail=detail,
                reply=reply.text,
            ),
        )

    def on_accepted(self, count: int, now: float) -> Sequence[Action]:
        """Count successful deliveries. The call for each delivery costs an addition and a comparison."""
        self._accepted += count
        if now < self._measured_until:
            return NOTHING
        return self._measure(now)

    def lift(self, tenant_id: str) -> None:
        """An operator ended the suspension of the site (""), or of one tenant at it."""
        self._suspended.pop(tenant_id, None)

    def connections(self, limit: int) -> int:
        """How many of the rules' ``limit`` connections may be open: at least 1."""
        return max(1, int(limit * self._share + 1e-9))

    def message_rate(self, rate: float) -> float:
        """The allowed messages a second, given the rules' ``rate``; 0 means no limit, in both."""
        return rate if self._rate == inf else min(rate or inf, self._rate)

    def suspended_until(self, now: float, tenant_id: str = "") -> float:
        """When the suspension of the site, or of this tenant at it, ends; 0 when mail may be sent now."""
        until = max(self._suspended.get(who, (0.0, ""))[0] for who in ("", tenant_id))
        return until if until > now else 0.0

    @property
    def is_lowered(self) -> bool:
        return self._rate != inf or self._share < 1.0

    def is_untouched(self, now: float) -> bool:
        """Whether the rules' limits apply unchanged, so that dropping this object loses nothing."""
        return not self.is_lowered and not any(until > now for until, _ in self._suspended.values())

    def described(self, now: float) -> tuple[str, ...]:
        """The lowered limits and suspensions, one line each, for operators."""
        lines = []
        if self._rate != inf:
            lines.append(self._told(ActionKind.SLOW_DOWN, _rate_text(self._rate), now))
        if self._share < 1.0:
            lines.append(self._told(ActionKind.FEWER_CONNECTIONS, _share_text(self._share), now))
        for tenant_id, (until, name) in sorted(self._suspended.items()):
            if until > now:
                who = f"tenant {tenant_id} suspended" if tenant_id else "suspended"
                lines.append(f"{who} for another {duration_text(max(1, round(until - now)))} after {name}")
        return tuple(lines)

    def _told(self, kind: ActionKind, what: str, now: float) -> str:
        line = f"{what} after {self._lowered_by[kind]}"
        return f"{line}, may rise in {duration_text(round(self._rise_at - now))}" if self._rise_at > now + 1 else line

    def _is_reached(self, trigger: Trigger, tenant_id: str, now: float) -> bool:
        """Count a match. Returns whether the trigger's threshold is reached."""
        if trigger.threshold is None:
            return True
        key = (trigger.name, tenant_id)
        times = self._counts.get(key)
        if times is None or times.maxlen != trigger.threshold.count:
            times = self._counts[key] = deque(maxlen=trigger.threshold.count)
            if len(self._counts) > MOST_TENANTS:
                self._counts.popitem(last=False)
        self._counts.move_to_end(key)
        times.append(now)
        if len(times) < trigger.threshold.count or now - times[0] > trigger.threshold.per_s:
            return False
        times.clear()
        return True

    def _lower(self, trigger: Trigger, now: float) -> bool:
        """Whether a limit may go down a step now; every call postpones the rise."""
        self._complained_at = now
        self._rise_at = max(now + trigger.for_s, self._rise_at if self._rise_at != inf else now)
        self._succeeded = 0
        if now < self._settled_at.get(trigger.action, -inf):
            return False
        self._settled_at[trigger.action] = now + SETTLE_S
        self._lowered_by[trigger.action] = trigger.name
        return True

    def _slow_down(self, trigger: Trigger, now: float) -> str:
        if not self._lower(trigger, now):
            return ""
        # Based on what the site really accepted: half of a limit that was never reached would change nothing.
        took = self._accepted_rate(now)
        before = min(self._rate, max(took, UNKNOWN_RATE))
        is_measured = now - self._measured_before_since >= MEASURED_S and took > 0
        self._known_rate = before if is_measured else 0.0
        self._rate_before = before
        self._rate = max(LOWEST_RATE, before * trigger.factor)
        return _rate_text(self._rate)

    def _connect_less(self, trigger: Trigger, now: float) -> str:
        if not self._lower(trigger, now):
            return ""
        self._share = max(LOWEST_SHARE, self._share * trigger.factor)
        return _share_text(self._share)

    def _suspend(self, trigger: Trigger, tenant_id: str, now: float) -> str:
        until = now + trigger.for_s
        if until <= self._suspended.get(tenant_id, (0.0, ""))[0] + SETTLE_S:
            return ""
        if tenant_id not in self._suspended and len(self._suspended) >= MOST_TENANTS:
            del self._suspended[min((who for who in self._suspended if who), key=lambda who: self._suspended[who][0])]
        self._suspended[tenant_id] = (until, trigger.name)
        return f"for {duration_text(trigger.for_s)}"

    def _accepted_rate(self, now: float) -> float:
        """Messages a second that the site accepted lately."""
        return self._shares * (self._accepted_before + self._accepted) / max(now - self._measured_before_since, 1.0)

    def _measure(self, now: float) -> Sequence[Action]:
        """End a measuring span, and raise limits if they are due."""
        self._succeeded += self._accepted
        stale = now - self._measured_until > MEASURED_S
        self._accepted_before = 0 if stale else self._accepted
        self._measured_before_since = now if stale else self._measured_since
        self._accepted = 0
        self._measured_since = now
        self._measured_until = now + MEASURED_S
        self._suspended = {who: end for who, end in self._suspended.items() if end[0] > now}
        if not self.is_lowered:
            return NOTHING
        if now - self._complained_at > FORGOTTEN_S:
            return self._restore(now)
        if now < self._rise_at or self._succeeded < RISE_AFTER:
            return NOTHING
        return self._rise(now)

    def _rise(self, now: float) -> Sequence[Action]:
        self._succeeded = 0
        self._rise_at = now + RISE_EVERY_S
        details = []
        if self._share < 1.0:
            self._share = min(1.0, self._share + RISE_BY)
            details.append(_share_text(self._share))
        if self._rate != inf:
            self._rise_rate(now)
            details.append(_rate_text(self._rate))
        if not self.is_lowered:
            return self._restore(now)
        return (Action(kind=ActionKind.RAISED, trigger="", until=self._rise_at, detail=", ".join(details)),)

    def _rise_rate(self, now: float) -> None:
        is_free = self._rate >= RELAXED_AT * self._known_rate
        if is_free and self._accepted_rate(now) < self._rate / 2:
            # There is too little mail to reach this rate, so it no longer limits anything.
            self._rate = inf
            return
        self._rate += max(LOWEST_RATE, self._rate_before * (RISE_FREELY_BY if is_free else RISE_BY))
        self._rate_before = max(self._rate_before, self._rate)

    def _restore(self, now: float) -> Sequence[Action]:
        self._rate = self._rate_before = self._rise_at = inf
        self._known_rate = 0.0
        self._share = 1.0
        return (Action(kind=ActionKind.RESTORED, trigger="", until=now, detail="the limits of the rules"),)


def _rate_text(rate: float) -> str:
    return "no lowered rate" if rate == inf else f"at most {rate:.3g} messages/s"


def _share_text(share: float) -> str:
    return f"{share:.0%} of the connections"
