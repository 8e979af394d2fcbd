"""Replays recorded replies, in the order of their times, under two policies: those in force, and others.

Each step is the product's own: the bounce rules judge, the schedules say when the next attempt comes, the triggers act
through ``Adjustments``, the limits are looked up by ``Shaping``. Memory is bounded by the number of sites that are
followed.
"""

from collections import OrderedDict
from functools import lru_cache

from msgspec import Struct

from cluster.policy.limits.retry import schedule_for
from cluster.policy.limits.rules import KEYS
from cluster.policy.limits.shaping import Limits, Shaping
from cluster.policy.replies.automation import Action
from cluster.policy.replies.bounce_rules import BounceRules
from cluster.policy.replies.enhanced import enhanced_code
from cluster.policy.replies.triggers import ActionKind, ReplyFacts
from cluster.policy.replies.verdict import Judgement
from cluster.policy.routes.sites import known_site
from cluster.policy.whatif.difference import Tally
from cluster.policy.whatif.judging import Judge, Judged, agree, class_of, recorded
from cluster.policy.whatif.recorded import Accepted, Reply
from cluster.policy.whatif.site import Held, SiteReplay

MOST_SITES = 10_000
"""Sites, each with a source, that are followed at one time. The one that was quiet for longest goes first, and begins
anew when it comes again."""
LIMITS_KEPT = 20_000


_Key = tuple[str, str]
"""A site and a source."""
NOT_HELD = Held()


class Policy(Struct, frozen=True):
    """Rules, triggers and schedules (shaping.toml), and bounce rules."""

    shaping: Shaping
    rules: BounceRules


class JudgedOtherwise(Struct, frozen=True):
    before: Judged
    after: Judged


class RetriedOtherwise(Struct, frozen=True):
    """``change``: sooner, later, again (it was given up), or not again."""

    site: str
    bounce_class: str
    change: str


class Acted(Struct, frozen=True):
    """What automation did. ``trigger``: "" for a limit that rose."""

    site: str
    source: str
    kind: ActionKind
    trigger: str


class LimitChanged(Struct, frozen=True):
    """A limit of a site that mail went to."""

    site: str
    source: str
    key: str
    before: str
    after: str


class Paced(Struct, frozen=True):
    """What rates and suspensions would have held back at a site."""

    site: str
    source: str
    before: Held
    after: Held


class _Side:
    """One of the two policies, and the sites as it would have limited them."""

    def __init__(self, policy: Policy) -> None:
        self.shaping = policy.shaping
        self.judge = Judge(policy.rules)
        self.acted: Tally[Acted] = Tally()
        self.limits = lru_cache(maxsize=LIMITS_KEPT)(self._limits)
        self.held: OrderedDict[_Key, Held] = OrderedDict()
        self._sites: OrderedDict[_Key, SiteReplay] = OrderedDict()

    def site(self, site: str, domain: str) -> str:
        """The site that a domain's mail would have gone to. Recorded is that of its hosts, or the domain's own."""
        return domain if self.shaping.is_separate(domain) else known_site(site)

    def follow(self, site: str, source: str, now: float) -> SiteReplay:
        """``site``: as of ``site``."""
        key = (site, source)
        found = self._sites.get(key)
        if found is None:
            found = self._sites[key] = self._begin(key, now)
            if len(self._sites) > MOST_SITES:
                self._sites.popitem(last=False)
        self._sites.move_to_end(key)
        return found

    def next_s(self, reply: Reply, judged: Judged) -> float | None:
        """Seconds until the next attempt, without the jitter; None where there would be none."""
        limits = self.limits(self.site(reply.site, reply.domain), reply.source, reply.domain)
        if judged.judgement is not Judgement.DEFERRED or reply.age_s >= limits.lifetime_s:
            return None
        schedule = schedule_for(class_of(judged), limits.retry_schedule_s)
        return schedule[min(max(reply.attempt, 1), len(schedule)) - 1]

    def _begin(self, key: _Key, now: float) -> SiteReplay:
        site, source = key

        def act(action: Action) -> None:
            self.acted.add(Acted(site, source, action.kind, action.trigger))

        held = self.held.setdefault(key, Held())
        if len(self.held) > MOST_SITES:
            self.held.popitem(last=False)
        rate = self.limits(site, source, "").message_rate
        return SiteReplay(self.shaping.triggers(site, source=source), rate, held, now, act)

    def _limits(self, site: str, source: str, domain: str) -> Limits:
        return self.shaping.limits(site, source=source, domain=domain)


class Replay:
    """``before``: the policies in force. ``after``: those to try."""

    def __init__(self, before: Policy, after: Policy) -> None:
        self._before, self._after = _Side(before), _Side(after)
        self._compared: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self.replies = 0
        self.accepted = 0
        self.judged: Tally[JudgedOtherwise] = Tally()
        self.retried: Tally[RetriedOtherwise] = Tally()
        self.limits: Tally[LimitChanged] = Tally()

    def on_accepted(self, one: Accepted) -> None:
        self.accepted += one.count
        self._compare(one.site, one.source, one.domain)
        for side in (self._before, self._after):
            side.follow(side.site(one.site, one.domain), one.source, one.at).accepted(one.count, one.at)

    def on_reply(self, reply: Reply) -> None:
        self.replies += 1
        self._compare(reply.site, reply.source, reply.domain)
        was, will = recorded(reply), self._after.judge(reply)
        if not agree(will, was):
            self.judged.add(JudgedOtherwise(was, will), reply)
        if not was.bounce_class:
            was = self._before.judge(reply)
        self._retry(reply, was, will)
        for side, judged in ((self._before, was), (self._after, will)):
            site = side.follow(side.site(reply.site, reply.domain), reply.source, reply.at)
            site.replied(_facts(reply, judged), reply.at)

    def acted(self) -> tuple[Tally[Acted], Tally[Acted]]:
        """What automation would have done, under each of the two."""
        return self._before.acted, self._after.acted

    def paced(self) -> list[Paced]:
        """Where the rates of the two would have held back otherwise, the most first."""
        before, after = self._before.held, self._after.held
        pairs = {key: (before.get(key, NOT_HELD), after.get(key, NOT_HELD)) for key in {**before, **after}}
        found = [Paced(*key, *held) for key, held in pairs.items() if held[0] != held[1]]
        return sorted(found, key=lambda one: -abs(_sum(one.after) - _sum(one.before)))

    def _retry(self, reply: Reply, was: Judged, will: Judged) -> None:
        before, after = self._before.next_s(reply, was), self._after.next_s(reply, will)
        if before == after:
            return
        change = "later"
        if before is None:
            change = "again"
        elif after is None:
            change = "not again"
        elif after < before:
            change = "sooner"
        kind = RetriedOtherwise(reply.site, will.bounce_class or reply.bounce_class, change)
        self.retried.add(kind, reply, before=before or 0.0, after=after or 0.0)

    def _compare(self, site: str, source: str, domain: str) -> None:
        """Note which limits of a site are others, once; of a domain that either of the two separates, its own."""
        sites = [side.site(site, domain) for side in (self._before, self._after)]
        key = (sites[0], sites[1], source)
        if key in self._compared:
            return
        self._compared[key] = None
        if len(self._compared) > MOST_SITES:
            self._compared.popitem(last=False)
        before, after = self._before.limits(sites[0], source, ""), self._after.limits(sites[1], source, "")
        for limit in KEYS:
            values = getattr(before, limit.field), getattr(after, limit.field)
            if values[0] != values[1]:
                self.limits.add(LimitChanged(sites[1], source, limit.name, *map(limit.show, values)))


def _sum(held: Held) -> int:
    return held.count + held.suspended


def _facts(reply: Reply, judged: Judged) -> ReplyFacts:
    return ReplyFacts(
        code=reply.code,
        enhanced=enhanced_code(reply.text) or "",
        text=reply.text or reply.reason,
        bounce_class=class_of(judged),
        domain=reply.domain,
        tenant_id=reply.tenant_id,
    )
