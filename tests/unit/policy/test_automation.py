"""Automation: which replies trigger which actions, and which limits result when a site keeps replying."""

import re
import tomllib
from collections.abc import Sequence
from itertools import pairwise

import pytest

from cluster.policy.limits.shaping import SHIPPED_TEXT
from cluster.policy.replies.automation import (
    FORGOTTEN_S,
    LOWEST_RATE,
    MOST_TENANTS,
    SETTLE_S,
    Action,
    Adjustments,
)
from cluster.policy.replies.bounce_class import BounceClass
from cluster.policy.replies.bounce_rules import normalised
from cluster.policy.replies.triggers import ActionKind, ReplyFacts, Trigger
from tests.unit.policy.test_shaping import shaping

SLOW = '[[automation]]\nname = "slow"\nmatch = "slow down"\naction = "slow_down"\nfor = "1m"'
FEWER = '[[automation]]\nname = "fewer"\nmatch = "too many"\naction = "fewer_connections"\nfor = "1m"'
SUSPEND = '[[automation]]\nname = "stop"\nmatch = "go away"\naction = "suspend"\nfor = "10m"'
TENANT = '[[automation]]\nname = "tenant"\nmatch = "bad tenant"\naction = "suspend_tenant"\nfor = "10m"'


def triggers(text: str, site: str = "mx.example.com") -> tuple[Trigger, ...]:
    return shaping(text).triggers(site)


def adjustments(*texts: str) -> Adjustments:
    return Adjustments(triggers("\n".join(texts)), 0.0)


def said(text: str, code: int = 421, **facts: str) -> ReplyFacts:
    return ReplyFacts(code=code, text=text, **facts)  # type: ignore[arg-type]


def only(actions: Sequence[Action]) -> Action:
    (action,) = actions
    return action


def accept(adjusted: Adjustments, rate: float, start: float, end: float) -> list[Action]:
    """This many deliveries a second succeed for some time."""
    actions: list[Action] = []
    for second in range(int(start), int(end)):
        actions += adjusted.on_accepted(max(1, round(rate)), float(second))
    return actions


# Which replies


# Site, trigger, and the reply as received.
REPLIES = (
    ("google.com", "google-rate", "421-4.7.28 Gmail has detected an unusual rate of\n421 4.7.28 unsolicited mail"),
    ("google.com", "google-unusual-rate", "421-4.7.0 Our system has detected an unusual\n421-4.7.0 rate of mail"),
    ("google.com", "google-recipient-rate", "450-4.2.1 The user is receiving mail at a rate that\n450 4.2.1 prevents"),
    ("google.com", "google-try-later", "421 4.7.0 Try again later, closing connection. gsmtp"),
    ("yahoodns.net", "yahoo-tss", "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred"),
    ("yahoodns.net", "yahoo-ts03", "421 4.7.1 [TS03] All messages from 192.0.2.1 will be permanently deferred"),
    ("yahoodns.net", "yahoo-ts01-ts02", "421 4.7.0 [TS01] Messages from 192.0.2.1 temporarily deferred"),
    ("yahoodns.net", "yahoo-connections", "421 4.7.0 Too many connections from 192.0.2.1"),
    ("olc.protection.outlook.com", "microsoft-rate", "451 4.7.650 The mail server [192.0.2.1] has been (S775)"),
    ("olc.protection.outlook.com", "microsoft-connections", "451 4.7.652 exceeded the maximum number (S3115)"),
    ("olc.protection.outlook.com", "outlook-blocked", "550 5.7.1 Unfortunately, messages weren't sent (S3140)."),
    ("mail.protection.outlook.com", "microsoft-busy", "451 4.7.500 Server busy. Please try again later"),
    ("mail.protection.outlook.com", "microsoft-server-busy", "451 4.7.0 Server busy. Please try again later"),
    ("mail.protection.outlook.com", "microsoft-connections", "421 4.3.2 The maximum number of concurrent connections"),
    ("mail.protection.outlook.com", "microsoft-365-banned", "550 5.7.606 Access denied, banned sending IP [192.0.2.1]"),
    ("mail.icloud.com", "icloud-volume", "421 4.7.1 Messages to a deferred due to excessive volume"),
    ("comcast.net", "comcast-sessions", "421 Too many sessions opened"),
    ("comcast.net", "comcast-rate", "452 4.1.0 192.0.2.1 Too many recipients. RL000001"),
    ("comcast.net", "comcast-blocked", "554 192.0.2.1 Comcast block for spam. BL000000"),
    ("cxr.mx.a.cloudfilter.net", "cox-connections", "421 cmsmtp 192.0.2.1 blocked. AUP#CXCNCT"),
    ("cxr.mx.a.cloudfilter.net", "cox-rate", "452 cmsmtp 192.0.2.1 Message threshold exceeded"),
    ("orange.fr", "orange-connections", "421 OFR004_104 Trop de connexions"),
    ("orange.fr", "orange-refused", "421 OFR004_105 Service refuse. Veuillez essayer plus tard"),
    ("qq.com", "qq-frequency", "550 Ip frequency limited [xx]"),
    ("qq.com", "qq-domain-frequency", "550 Domain frequency limited"),
    ("mxmail.netease.com", "netease-connections", "421 HL:ICC 163 mx1"),
    ("mxmail.netease.com", "netease-rate", "421 HL:IFC 163 mx1"),
    ("gmx.net", "gmx-blocked", "554-No SMTP service\n554-IP address is block listed.\n554 For explanation visit"),
    ("gmx.net", "gmx-rate", "421 Rate limit reached. Please try again later"),
    ("mx.example.com", "address-on-spamhaus", "554 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org"),
    ("mx.example.com", "content-on-a-list", "554 5.7.1 example.org is listed in dbl.spamhaus.org"),
    ("mx.example.com", "too-many-connections", "421 4.7.0 Error: too many connections from 192.0.2.1"),
    ("mx.example.com", None, "450 4.7.1 <a@example.com>: Greylisted, try again"),
    ("mx.example.com", None, "450 4.1.1 <spamhaus.blocked.connection.limit@example.com> unknown"),
    ("mx.example.com", None, "550 5.1.1 no such user"),
)


@pytest.mark.parametrize(("site", "name", "text"), REPLIES)
def test_shipped_triggers_know_replies_of_the_world(site: str, name: str | None, text: str) -> None:
    status = re.match(r"[0-9]{3}[ -]([245]\.[0-9]+\.[0-9]+)", text)
    reply = said(text, int(text[:3]), enhanced=status[1] if status else "")
    assert matching(triggers("", site), reply) == name


def test_every_shipped_trigger_is_tried() -> None:
    named = {table["name"] for table in tomllib.loads(SHIPPED_TEXT)["automation"]}
    assert named == {name for _, name, _ in REPLIES if name} | {"rate-limited"}


def matching(candidates: tuple[Trigger, ...], reply: ReplyFacts) -> str | None:
    words = normalised(reply.text).strip()
    return next((trigger.name for trigger in candidates if trigger.matches(reply, words)), None)


def test_a_class_is_enough() -> None:
    reply = ReplyFacts(code=451, text="451 whatever", bounce_class=BounceClass.RATE_LIMITED)
    assert matching(triggers(""), reply) == "rate-limited"


def test_all_conditions_must_be_met() -> None:
    conditions = 'match = "^busy$"\ncode = ["421", "45x"]\nenhanced = "4.7"\ndomain = "*.example"'
    candidates = triggers(f'[[automation]]\nname = "a"\naction = "suspend"\n{conditions}')[:1]
    good = said("452 4.7.1 Busy", 452, enhanced="4.7.1", domain="a.example")
    assert matching(candidates, good) == "a"
    assert matching(candidates, said("452 4.70.1 Busy", 452, enhanced="4.70.1", domain="a.example")) is None
    assert matching(candidates, said("441 4.7.1 Busy", 441, enhanced="4.7.1", domain="a.example")) is None
    assert matching(candidates, said("452 4.7.1 Busy", 452, enhanced="4.7.1", domain="b.org")) is None
    assert matching(candidates, said("452 4.7.1 Not busy", 452, enhanced="4.7.1", domain="a.example")) is None


def test_triggers_are_for_sites_and_sources() -> None:
    policy = shaping('[[automation]]\nname = "a"\nmatch = "x"\nsite = "mx.*"\nsource = "mta1"\naction = "suspend"')
    assert "a" in [trigger.name for trigger in policy.triggers("mx.example.com", source="mta1")]
    assert "a" not in [trigger.name for trigger in policy.triggers("mx.example.com", source="mta2")]
    assert "a" not in [trigger.name for trigger in policy.triggers("example.com", source="mta1")]


def test_ignoring_comes_before_what_is_shipped() -> None:
    ignore = '[[automation]]\nname = "never"\nmatch = "spamhaus"\naction = "ignore"'
    adjusted = adjustments(ignore)
    for _ in range(10):
        assert not adjusted.on_reply(said("554 blocked using zen.spamhaus.org", 554), 1.0)
    assert adjusted.is_untouched(1.0)


# What they do


def test_nothing_is_adjusted_at_first() -> None:
    adjusted = adjustments()
    assert adjusted.connections(20) == 20
    assert adjusted.message_rate(100.0) == 100.0
    assert adjusted.message_rate(0.0) == 0.0
    assert adjusted.suspended_until(0.0) == 0.0
    assert adjusted.described(0.0) == ()
    assert adjusted.is_untouched(0.0)


def test_slowing_down_starts_from_what_the_site_took() -> None:
    adjusted = adjustments(SLOW)
    accept(adjusted, 40, 0, 60)
    action = only(adjusted.on_reply(said("421 Slow down"), 60.0))
    assert (action.kind, action.trigger, action.until) == (ActionKind.SLOW_DOWN, "slow", 120.0)
    assert action.reply == "421 Slow down"
    assert adjusted.message_rate(0.0) == pytest.approx(20, rel=0.1)
    assert adjusted.message_rate(1000.0) == adjusted.message_rate(0.0)
    assert adjusted.message_rate(5.0) == 5.0
    (line,) = adjusted.described(60.0)
    assert line.endswith("messages/s after slow, may rise in 1m")


def test_what_one_share_sees_counts_for_all() -> None:
    adjusted = Adjustments(triggers(SLOW), 0.0, shares=4)
    accept(adjusted, 10, 0, 60)
    adjusted.on_reply(said("421 slow down"), 60.0)
    assert adjusted.message_rate(0.0) == pytest.approx(20, rel=0.1)


def test_one_burst_of_complaints_is_one_step() -> None:
    adjusted = adjustments(SLOW, FEWER)
    accept(adjusted, 40, 0, 60)
    actions = [a for i in range(50) for a in adjusted.on_reply(said("421 slow down"), 60 + i * SETTLE_S / 51)]
    assert len(actions) == 1
    before = adjusted.message_rate(0.0)
    assert adjusted.on_reply(said("421 slow down"), 60 + SETTLE_S)
    assert adjusted.message_rate(0.0) <= before / 2


def test_a_rate_never_falls_to_zero_nor_connections() -> None:
    adjusted = adjustments(SLOW, FEWER)
    for i in range(1000):
        adjusted.on_reply(said("421 slow down"), i * 20.0)
        adjusted.on_reply(said("421 too many"), i * 20.0)
    assert adjusted.message_rate(0.0) == LOWEST_RATE
    assert adjusted.connections(20) == 1


def test_fewer_connections_and_back() -> None:
    adjusted = adjustments(FEWER)
    only(adjusted.on_reply(said("421 too many"), 0.0))
    assert adjusted.connections(20) == 10
    assert accept(adjusted, 5, 0, 59) == []
    actions = accept(adjusted, 5, 59, 59 + 15 * 60)
    assert {action.kind for action in actions[:-1]} == {ActionKind.RAISED}
    assert actions[-1].kind is ActionKind.RESTORED
    assert len(actions) == 10
    assert adjusted.connections(20) == 20
    assert adjusted.is_untouched(1000.0)


def test_limits_do_not_rise_without_deliveries() -> None:
    adjusted = adjustments(FEWER)
    adjusted.on_reply(said("421 too many"), 0.0)
    for minute in range(1, 9):
        assert not adjusted.on_accepted(1, minute * 60.0)
    assert adjusted.connections(20) == 10


def test_what_is_old_is_forgotten() -> None:
    adjusted = adjustments(FEWER)
    adjusted.on_reply(said("421 too many"), 0.0)
    action = only(adjusted.on_accepted(1, FORGOTTEN_S + 1))
    assert action.kind is ActionKind.RESTORED
    assert adjusted.connections(20) == 20


def test_a_suspension_ends_by_itself() -> None:
    adjusted = adjustments(SUSPEND)
    action = only(adjusted.on_reply(said("421 go away"), 100.0))
    assert (action.kind, action.until, action.detail) == (ActionKind.SUSPEND, 700.0, "for 10m")
    assert adjusted.suspended_until(101.0) == 700.0
    assert adjusted.suspended_until(101.0, "acme") == 700.0
    assert adjusted.described(101.0) == ("suspended for another 9m59s after stop",)
    assert not adjusted.on_reply(said("421 go away"), 105.0), "what was on its way already"
    assert adjusted.suspended_until(700.0) == 0.0
    assert adjusted.is_untouched(700.0)


def test_a_tenant_is_suspended_alone() -> None:
    adjusted = adjustments(TENANT)
    assert not adjusted.on_reply(said("550 bad tenant", 550), 0.0)
    action = only(adjusted.on_reply(said("550 bad tenant", 550, tenant_id="acme"), 0.0))
    assert (action.kind, action.tenant_id) == (ActionKind.SUSPEND_TENANT, "acme")
    assert adjusted.suspended_until(1.0, "acme") == 600.0
    assert adjusted.suspended_until(1.0, "other") == 0.0
    assert adjusted.suspended_until(1.0) == 0.0
    assert adjusted.described(1.0) == ("tenant acme suspended for another 9m59s after tenant",)


def test_tenants_are_bounded() -> None:
    adjusted = adjustments(TENANT + '\nthreshold = "1/1h"')
    for i in range(MOST_TENANTS * 3):
        assert adjusted.on_reply(said("550 bad tenant", 550, tenant_id=f"t{i}"), float(i))
    held = [i for i in range(MOST_TENANTS * 3) if adjusted.suspended_until(0.0, f"t{i}")]
    assert held == list(range(MOST_TENANTS * 2, MOST_TENANTS * 3))


def test_the_counts_of_tenants_are_bounded() -> None:
    adjusted = adjustments(TENANT + '\nthreshold = "2/1h"')
    tenants = range(MOST_TENANTS * 3)
    assert not any(adjusted.on_reply(said("550 bad tenant", 550, tenant_id=f"t{i}"), float(i)) for i in tenants)
    again = [i for i in reversed(tenants) if adjusted.on_reply(said("550 bad tenant", 550, tenant_id=f"t{i}"), 3e3)]
    assert again == list(reversed(tenants[MOST_TENANTS * 2 :])), "of the others the first reply is forgotten"


def test_a_threshold_counts_within_its_time() -> None:
    adjusted = adjustments(SUSPEND + '\nthreshold = "3/1m"')
    for now in (0.0, 50.0, 100.0, 150.0):
        assert not adjusted.on_reply(said("421 go away"), now)
    assert adjusted.on_reply(said("421 go away"), 155.0)
    assert not adjusted.on_reply(said("421 go away"), 900.0), "it counts anew"


def test_a_threshold_of_tenants_counts_each() -> None:
    adjusted = adjustments(TENANT + '\nthreshold = "2/1m"')
    assert not adjusted.on_reply(said("550 bad tenant", 550, tenant_id="a"), 0.0)
    assert not adjusted.on_reply(said("550 bad tenant", 550, tenant_id="b"), 0.0)
    assert only(adjusted.on_reply(said("550 bad tenant", 550, tenant_id="a"), 1.0)).tenant_id == "a"


def test_new_rules_are_followed_and_what_is_in_force_stays() -> None:
    adjusted = adjustments(SUSPEND)
    adjusted.on_reply(said("421 go away"), 0.0)
    adjusted.follow(triggers(FEWER))
    assert adjusted.suspended_until(1.0)
    assert not adjusted.on_reply(said("421 go away"), 300.0)
    assert adjusted.on_reply(said("421 too many"), 300.0)


# Where it ends up


class World:
    """A simulation in steps of a tenth of a second: a site accepts a number of messages a second and replies "slow
    down" to the others, and a sender always has more messages."""

    def __init__(self, takes: float, offered: float) -> None:
        self.takes = takes
        self.offered = offered
        self.adjusted = adjustments(SLOW)
        self.now = 0.0
        self.rates: list[float] = []
        self.accepted = self.refused = 0
        self.actions: list[Action] = []
        self._owed = self._room = 0.0

    def run(self, seconds: float) -> None:
        self.rates, self.accepted, self.refused = [], 0, 0
        for _ in range(int(seconds * 10)):
            self.now += 0.1
            rate = self.adjusted.message_rate(0.0) or self.offered
            self.rates.append(rate)
            self._owed += min(rate, self.offered) / 10
            self._room = min(self._room + self.takes / 10, self.takes)
            while self._owed >= 1:
                self._owed -= 1
                self._send()

    def _send(self) -> None:
        if self._room >= 1:
            self._room -= 1
            self.accepted += 1
            self.actions += self.adjusted.on_accepted(1, self.now)
        else:
            self.refused += 1
            self.actions += self.adjusted.on_reply(said("421 slow down"), self.now)


@pytest.mark.parametrize("takes", [2.0, 50.0, 400.0])
def test_it_finds_the_rate_of_a_site_that_throttles_and_stays_near(takes: float) -> None:
    world = World(takes, offered=1000.0)
    world.run(3600)
    world.run(3600)
    assert min(world.rates) > takes / 4, "it does not collapse"
    assert max(world.rates) < takes * 1.2, "it does not run away"
    assert world.accepted > takes * 3600 * 0.6, "it uses most of what the site takes"
    assert world.refused < world.accepted * 0.03
    complaints = [action for action in world.actions if action.kind is ActionKind.SLOW_DOWN and action.until > 3700]
    assert len(complaints) < 20, "a complaint now and then is how it knows"


def test_it_recovers_when_the_site_relaxes() -> None:
    world = World(20.0, offered=200.0)
    world.run(3600)
    world.takes = 1e9
    world.run(3600)
    assert world.refused == 0
    assert all(later <= earlier * 1.3 for earlier, later in pairwise(world.rates) if later < 200), "no leap"
    assert world.adjusted.message_rate(0.0) == 0.0
    assert world.actions[-1].kind is ActionKind.RESTORED
    assert world.adjusted.is_untouched(world.now)


def test_a_site_that_refuses_everything_is_asked_ever_less_and_found_again() -> None:
    world = World(0.0, offered=1000.0)
    world.run(1800)
    assert world.rates[-1] == LOWEST_RATE
    world.takes = 50.0
    world.run(4 * 3600)
    assert world.accepted / (4 * 3600) > 25
