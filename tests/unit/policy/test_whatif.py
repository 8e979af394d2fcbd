"""What other policies would have made of recorded replies."""

from typing import Any

import pytest
from msgspec import structs

from cluster.policy.limits.shaping import Shaping
from cluster.policy.replies.bounce_class import BounceClass
from cluster.policy.replies.bounce_rules import RULES, BounceRules
from cluster.policy.replies.stage import Stage
from cluster.policy.replies.triggers import ActionKind
from cluster.policy.replies.verdict import Judgement, judge
from cluster.policy.whatif.judging import Judge, Judged, agree, recorded
from cluster.policy.whatif.recorded import Accepted, Reply
from cluster.policy.whatif.replay import Acted, JudgedOtherwise, LimitChanged, Policy, Replay, RetriedOtherwise
from tests.unit.policy.test_shaping import BASE

AT = 1_700_000_000.0
BUSY = "451 4.7.1 Too many messages, slow down"


def a_reply(**changes: Any) -> Reply:
    text = changes.get("text", "451 4.7.1 Greylisted, try again later")
    verdict = judge(int(text[:3]), text[4:9], text, Stage.RCPT) if text else None
    given: dict[str, Any] = {
        "at": AT,
        "event": "deferred",
        "site": "mx.example.com",
        "source": "",
        "tenant_id": "tnt_1",
        "domain": "example.com",
        "attempt": 1,
        "text": text,
        "reason": "",
        "bounce_class": str(verdict.bounce_class) if verdict is not None else "no_answer",
        "age_s": 1.0,
    }
    return Reply(**(given | changes))


def a_policy(text: str = "", rules: BounceRules = RULES) -> Policy:
    return Policy(Shaping.parse(text, base=BASE, default=BASE), rules)


def other_rules(rule: str) -> BounceRules:
    """This release's rules, with another one before them."""
    first = BounceRules.parse(rule)
    return BounceRules((*first.rules, *RULES.rules))


def played(after: Policy, *replies: Reply, before: Policy | None = None) -> Replay:
    found = Replay(before or a_policy(), after)
    for reply in replies:
        found.on_reply(reply)
    return found


def test_the_same_policies_make_no_difference() -> None:
    replies = [
        a_reply(),
        a_reply(text=BUSY),
        a_reply(text="550 5.1.1 No such user", event="bounce"),
        a_reply(text="550 5.7.1 Listed at zen.example.org blocklist", event="blocked"),
        a_reply(text="", reason="no connection", bounce_class="no_answer"),
        a_reply(
            text="550 5.1.1 No such user", event="bounce", reason="expired after 9 attempts: x", bounce_class="expired"
        ),
    ]
    found = played(a_policy(), *replies)
    assert found.replies == len(replies)
    assert not (found.judged.kinds or found.retried.kinds or found.limits.kinds or found.paced())
    before, after = found.acted()
    assert before.kinds.keys() == after.kinds.keys()


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.END_OF_DATA, Stage.MAIL, Stage.DATA])
@pytest.mark.parametrize(
    "text", ["421 4.7.0 closing", "450 4.2.0 wait", "452 4.2.2 full", "550 5.1.1 unknown", "554 5.7.1 spam", "500 what"]
)
def test_what_was_recorded_is_found_again_at_whichever_stage_it_was_said(stage: Stage, text: str) -> None:
    verdict = judge(int(text[:3]), text[4:9] if text[4].isdigit() else None, text, stage)
    event = "deferred" if verdict.judgement is Judgement.DEFERRED else "bounce"
    was = a_reply(text=text, event=event, bounce_class=str(verdict.bounce_class))
    assert agree(Judge()(was), recorded(was))


def test_replies_that_are_judged_otherwise() -> None:
    rules = other_rules(
        '[[rule]]\nname = "mine"\nsource = "x"\nclass = "spam"\ncodes = ["550"]\nsays = ["such user"]\n'
    )
    replies = [a_reply(text="550 5.1.1 No such user", event="bounce", at=AT + i) for i in range(5)]
    found = played(a_policy(rules=rules), *replies, a_reply())
    ((kind, counted),) = found.judged.most()
    bounced = Judgement.BOUNCED
    assert kind == JudgedOtherwise(Judged(bounced, "bad_mailbox"), Judged(bounced, "spam"))
    assert (counted.count, [one.at - AT for one in counted.examples]) == (5, [0, 1, 2])
    assert counted.examples[0].said == "550 5.1.1 No such user"


def test_a_class_of_an_earlier_release_is_told() -> None:
    found = played(a_policy(), a_reply(text="550 5.1.1 No such user", event="bounce", bounce_class="policy"))
    ((kind, _),) = found.judged.most()
    assert str(kind.before) == "bounced as policy" and str(kind.after) == "bounced as bad_mailbox"


def test_a_bounce_that_would_be_tried_again() -> None:
    rules = other_rules(
        '[[rule]]\nname = "mine"\nsource = "x"\nclass = "mailbox_full"\ncodes = ["550"]\nsays = ["such user"]\n'
        'judgement = "deferred"\n'
    )
    found = played(a_policy(rules=rules), a_reply(text="550 5.1.1 No such user", event="bounce"))
    ((kind, counted),) = found.retried.most()
    assert kind == RetriedOtherwise("mx.example.com", "mailbox_full", "again")
    assert counted.after == 300  # no wait is longer than the longest of the settings


@pytest.mark.parametrize(
    ("rule", "attempt", "age_s", "change", "before", "after"),
    [
        ('retry_schedule = ["30s"]', 1, 1, "sooner", 60, 30),
        ('retry_schedule = ["1m", "2h"]', 2, 1, "later", 300, 7200),
        ('lifetime = "1h"', 3, 7200, "not again", 300, 0),
    ],
)
def test_waits_and_lifetimes(rule: str, attempt: int, age_s: float, change: str, before: float, after: float) -> None:
    text = f'[[rule]]\nname = "mine"\ndomain = "example.com"\n{rule}\n'
    other = a_reply(text="450 4.3.0 later", attempt=attempt, age_s=age_s, domain="other.example", bounce_class="")
    mine = structs.replace(other, domain="example.com")
    found = played(a_policy(text), mine, other)
    ((kind, counted),) = found.retried.most()
    assert (kind.change, counted.count, counted.before, counted.after) == (change, 1, before, after)
    assert counted.examples[0].domain == "example.com"


def test_what_automation_would_do() -> None:
    text = """
[[automation]]
name = "stop"
site = ["mx.example.com"]
match = "slow down"
action = "suspend"
for = "10m"
threshold = "3/1m"
"""
    replies = [a_reply(text=BUSY, at=AT + i) for i in range(3)]
    quiet = [a_reply(text=BUSY, at=AT + 1000 + 100 * i) for i in range(3)]  # too far apart
    found = played(a_policy(text), *replies, *quiet)
    before, after = found.acted()
    (paced,) = played(a_policy(text), *replies, a_reply(at=AT + 300)).paced()
    assert (paced.before.suspended, paced.after.suspended) == (0, 1)
    stop = Acted("mx.example.com", "", ActionKind.SUSPEND, "stop")
    assert after.kinds[stop].count == 1 and stop not in before.kinds


def test_a_changed_limit_is_told_once_for_each_site_that_mail_went_to() -> None:
    text = '[[rule]]\nname = "mine"\nsite = ["mx.example.com"]\nconnections = 3\n'
    found = played(a_policy(text), a_reply(), a_reply(), a_reply(site="mx.example.net"))
    ((kind, counted),) = found.limits.most()
    assert kind == LimitChanged("mx.example.com", "", "connections", "20", "3")
    assert counted.count == 1


def test_a_rate_holds_back_what_was_sent_faster() -> None:
    text = '[[rule]]\nname = "mine"\nmessage_rate = "10/s"\n'
    found = Replay(a_policy(), a_policy(text))
    for second in range(10):
        found.on_accepted(Accepted(at=AT + second, site="a.example", source="s", domain="example.com", count=20))
        found.on_accepted(Accepted(at=AT + second, site="b.example", source="s", domain="example.com", count=5))
    (paced,) = found.paced()
    assert (paced.site, paced.source, paced.before.count) == ("a.example", "s", 0)
    assert paced.after.count == 200
    assert paced.after.longest_s == pytest.approx(10, abs=0.5)  # 200 in ten seconds, at 10 a second
    assert found.accepted == 250


def test_a_domain_that_a_rule_separates_is_a_site_of_its_own() -> None:
    text = '[[rule]]\nname = "apart"\ndomain = "example.com"\nmessage_rate = "1/s"\n'
    found = Replay(a_policy(), a_policy(text))
    for domain in ("example.com", "example.org"):
        found.on_accepted(Accepted(at=AT, site="mx.example.com", source="", domain=domain, count=5))
    (paced,) = found.paced()
    assert (paced.site, paced.after.count) == ("example.com", 5)
    assert {kind.site for kind, _ in found.limits.most()} == {"example.com"}


def test_every_class_has_a_wait() -> None:
    found = Replay(a_policy(), a_policy())
    for one in BounceClass:
        found.on_reply(a_reply(text="", reason="x", bounce_class=one))
    assert not found.retried.kinds
