"""The effects of verdicts, as tables: for every combination of facts, the first row that fits gives the effects."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import pytest

from actors.smtp.reply import make_reply
from cluster.policy.limits.recipients import Others
from cluster.policy.limits.session import Spent
from cluster.policy.replies.bounce_class import BounceClass
from cluster.policy.replies.bounce_rules import ReplyScope
from cluster.policy.replies.effects import (
    MOVES_AT_MOST,
    TRIES_AT_MOST,
    Answered,
    Broken,
    Effects,
    OfSite,
    Onward,
    Settled,
    Unreached,
    effects_of,
)
from cluster.policy.replies.onward import NextHost
from cluster.policy.replies.stage import Stage
from cluster.policy.replies.verdict import (
    UNRESOLVED,
    UNROUTABLE,
    Judgement,
    Verdict,
    judge,
    judge_parting,
    judge_silence,
)

YES, NO = (True,), (False,)
EITHER = (True, False)
TRANSACTION = (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END_OF_DATA)

Combination = dict[str, Any]
Row = tuple[Mapping[str, tuple[Any, ...]], Effects]
"""The values for which the row fits (any value of a fact that it does not name), and the effects."""


def combinations(**values: tuple[Any, ...]) -> Iterator[Combination]:
    return (dict(zip(values, one, strict=True)) for one in product(*values.values()))


def looked_up(table: list[Row], combination: Combination) -> Effects:
    return next(effects for fits, effects in table if all(combination[name] in values for name, values in fits.items()))


def assert_no_row_is_idle(table: list[Row], all_of_them: list[Combination]) -> None:
    used = {id(looked_up(table, combination)) for combination in all_of_them}
    assert used == {id(effects) for _, effects in table}


# A transaction that has ended

ANSWERS = {
    "accepted": "250 2.0.0 ok",
    "used up": "452 4.4.5 too many messages per session",
    "their number": "452 4.5.3 too many recipients",
    "needs ascii": "550 5.6.7 non-ascii addresses are not permitted",
    "of the host": "451 4.3.0 local error in processing",
    "of the mailbox": "450 4.2.0 mailbox busy",
    "wait": "451 4.7.1 greylisted, come back in 5 minutes",
    "of the site": "450 4.7.28 unusual rate of mail from your address",
    "refused": "550 5.1.1 user unknown",
}
USED_UP = Spent.MESSAGES
FEW = ("left",)

OF_ANSWERS: list[Row] = [
    ({"says": ("accepted",)}, Effects()),
    ({"says": ("used up",), "reused": YES, "moves": FEW}, Effects(onward=Onward.MOVED, spent=USED_UP)),
    ({"says": ("used up",)}, Effects(spent=USED_UP)),
    (
        {"says": ("their number",), "many": YES, "stage": (Stage.RCPT, Stage.DATA, Stage.END_OF_DATA)},
        Effects(onward=Onward.DIVIDED),
    ),
    ({"says": ("needs ascii",), "needs_ascii": YES}, Effects(onward=Onward.IN_ASCII)),
    (
        {
            "says": ("of the host",),
            "stage": (Stage.MAIL,),
            "rules": (NextHost.AT_ONCE,),
            "has_next": YES,
            "tries": FEW,
        },
        Effects(onward=Onward.ELSEWHERE, costs_try=True, address_failed=True, tells_automation=True),
    ),
    (
        {"says": ("of the host",), "rules": (NextHost.AT_ONCE,), "has_next": YES, "tries": FEW},
        Effects(onward=Onward.ELSEWHERE, costs_try=True, tells_automation=True),
    ),
    ({}, Effects()),
]


def test_every_reply_of_a_transaction() -> None:
    all_of_them = list(
        combinations(
            says=tuple(ANSWERS),
            stage=TRANSACTION,
            others=tuple(Others),
            many=EITHER,
            needs_ascii=EITHER,
            reused=EITHER,
            moves=("left", "none"),
            tries=("left", "none"),
            rules=tuple(NextHost),
            has_next=EITHER,
        )
    )
    for one in all_of_them:
        if one["says"] == "accepted" and one["stage"] is Stage.DATA:
            continue  # no message was sent that could have been accepted
        reply = make_reply(int(ANSWERS[one["says"]][:3]), [ANSWERS[one["says"]]])
        facts = Answered(
            code=reply.code,
            enhanced=reply.enhanced,
            text=reply.text,
            others=one["others"],
            recipients=3 if one["many"] else 1,
            needs_ascii=one["needs_ascii"],
            is_reused=one["reused"],
            moves=MOVES_AT_MOST - (one["moves"] == "left"),
            tries=TRIES_AT_MOST - 1 - (one["tries"] == "left"),
            next_host=one["rules"],
            has_next_host=one["has_next"],
        )
        verdict = judge(reply.code, reply.enhanced, reply.text, one["stage"])
        assert effects_of(verdict, one["stage"], facts) == looked_up(OF_ANSWERS, one), one
    assert_no_row_is_idle(OF_ANSWERS, all_of_them)


def test_who_was_told_what_decides_where_the_words_do_not() -> None:
    def onward(others: Others, recipients: int = 3) -> Onward:
        verdict = judge(552, None, "552 exceeded", Stage.RCPT)
        facts = Answered(code=552, enhanced=None, text="552 exceeded", others=others, recipients=recipients)
        return effects_of(verdict, Stage.RCPT, facts).onward

    assert onward(Others.TAKEN_BEFORE) is Onward.DIVIDED
    assert onward(Others.REFUSED) is onward(Others.TAKEN_BEFORE, recipients=1) is Onward.SETTLED


# A connection that was lost

PARTINGS = {
    "nothing": "",
    "used up": "421 4.4.5 too many messages per session",
    "their number": "421 4.5.3 too many recipients",
    "unclear": "421 4.3.0 try again later",
    "blocked": "421 4.7.1 blocked using dnsbl.example",
}
NUMBERED = {"many": YES, "in_doubt": NO, "taken": YES, "stage": (Stage.RCPT, Stage.DATA, Stage.END_OF_DATA)}
GUESSED = {
    **{"many": YES, "in_doubt": NO, "one_refused": NO, "stage": (Stage.RCPT,)},
    **{"tries": FEW, "attempts": ("later",)},
}
SAID = ("used up", "their number", "unclear", "blocked")

OF_LOSSES: list[Row] = [
    (
        {"says": ("used up",), "in_doubt": NO, "reused": YES, "moves": FEW},
        Effects(onward=Onward.MOVED, spent=USED_UP),
    ),
    ({**NUMBERED, "one_refused": YES, "says": ("used up",)}, Effects(onward=Onward.DIVIDED, spent=USED_UP)),
    ({**NUMBERED, "one_refused": YES}, Effects(onward=Onward.DIVIDED)),
    ({**NUMBERED, "says": ("their number",)}, Effects(onward=Onward.DIVIDED)),
    (
        {**NUMBERED, "says": ("used up",), "stage": (Stage.RCPT,)},
        Effects(onward=Onward.DIVIDED, spent=USED_UP),
    ),
    (
        {**GUESSED, "says": ("nothing",)},
        Effects(onward=Onward.DIVIDED, costs_try=True, address_failed=True),
    ),
    (
        {**GUESSED, "says": ("unclear",)},
        Effects(onward=Onward.DIVIDED, costs_try=True, address_failed=True, tells_automation=True),
    ),
    # Once the host may have the message, a retry may make a duplicate.
    ({"in_doubt": YES, "stage": (Stage.RCPT, Stage.DATA, Stage.END_OF_DATA)}, Effects(address_failed=True)),
    ({"tries": ("none",)}, Effects(address_failed=True)),
    # The connection was closed while it was idle.
    ({"says": ("nothing",), "reused": YES}, Effects(onward=Onward.RETRIED, costs_try=True)),
    (
        {"says": ("nothing",), "alternatives": YES},
        Effects(onward=Onward.RETRIED, costs_try=True, address_failed=True),
    ),
    (
        {"says": SAID, "alternatives": YES},
        Effects(onward=Onward.RETRIED, costs_try=True, address_failed=True, tells_automation=True),
    ),
    ({}, Effects(address_failed=True)),
]


def test_every_loss_of_a_connection() -> None:
    all_of_them = list(
        combinations(
            says=tuple(PARTINGS),
            stage=(Stage.IDLE, Stage.RSET, *TRANSACTION),
            in_doubt=EITHER,
            many=EITHER,
            taken=EITHER,
            one_refused=EITHER,
            reused=EITHER,
            alternatives=EITHER,
            moves=("left", "none"),
            tries=("left", "none"),
            attempts=("first", "later"),
        )
    )
    for one in all_of_them:
        text = PARTINGS[one["says"]]
        reply = make_reply(int(text[:3]), [text]) if text else None
        facts = Broken(
            code=reply.code if reply else 0,
            enhanced=reply.enhanced if reply else None,
            text=text,
            may_be_taken=one["in_doubt"],
            recipients=3 if one["many"] else 1,
            taken=2 if one["taken"] else 0,
            is_one_refused=one["one_refused"],
            is_reused=one["reused"],
            alternatives=1 if one["alternatives"] else 0,
            moves=MOVES_AT_MOST - (one["moves"] == "left"),
            tries=TRIES_AT_MOST - 1 - (one["tries"] == "left"),
            attempts=1 if one["attempts"] == "first" else 2,
        )
        verdict = parting(text, one["stage"])
        assert effects_of(verdict, one["stage"], facts) == looked_up(OF_LOSSES, one), one
    assert_no_row_is_idle(OF_LOSSES, all_of_them)


def parting(text: str, stage: Stage) -> Verdict:
    if not text:
        return judge_silence(stage)
    reply = make_reply(int(text[:3]), [text])
    return judge_parting(reply.code, reply.enhanced, reply.text, stage)


# No connection

OPENING = (Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.AUTH)
OF_TLS = (Stage.STARTTLS, Stage.TLS)
REFUSALS = {**PARTINGS, "mailbox": "554 5.2.2 mailbox full"}
"""Whatever the reply says, one that refuses a connection concerns the host."""

OF_SITES: list[tuple[Mapping[str, tuple[Any, ...]], OfSite]] = [
    ({"backing_off": YES}, OfSite.UNTOUCHED),
    ({"own": YES, "stage": (None,)}, OfSite.BACKS_OFF_FOR_DNS),
    ({"own": YES}, OfSite.BACKS_OFF),
    # Other domains of the site may have other hosts, or require less of TLS.
    ({"stage": (None, *OF_TLS)}, OfSite.UNTOUCHED),
    ({"connected": YES}, OfSite.UNTOUCHED),
    ({}, OfSite.BACKS_OFF),
]


@pytest.mark.parametrize("says", REFUSALS)
def test_every_connection_that_was_not_to_be_had(says: str) -> None:
    for one in combinations(stage=(*OPENING, *OF_TLS), backing_off=EITHER, own=EITHER, connected=EITHER):
        facts = Unreached(
            has_reply=says != "nothing",
            is_backing_off=one["backing_off"],
            is_own_site=one["own"],
            is_connected=one["connected"],
        )
        effects = effects_of(parting(REFUSALS[says], one["stage"]), one["stage"], facts)
        assert effects.address_failed is (one["stage"] in OPENING)
        assert effects.site is site_looked_up(one)
        assert effects.tells_automation is (says != "nothing")
        assert effects.onward is Onward.SETTLED


@pytest.mark.parametrize("verdict", [UNRESOLVED, UNROUTABLE])
def test_without_a_host_there_is_no_address_to_blame(verdict: Verdict) -> None:
    for one in combinations(stage=(None,), backing_off=EITHER, own=EITHER, connected=EITHER):
        facts = Unreached(is_backing_off=one["backing_off"], is_own_site=one["own"], is_connected=one["connected"])
        assert effects_of(verdict, None, facts) == Effects(site=site_looked_up(one))


def site_looked_up(one: Combination) -> OfSite:
    return next(site for fits, site in OF_SITES if all(one[name] in values for name, values in fits.items()))


# The end of an attempt

OF_ENDS: list[Row] = [
    ({"says": ("accepted",)}, Effects()),
    ({"says": ("refused", "needs ascii", "of the site")}, Effects(tells_automation=True)),
    ({"rules": (NextHost.NEVER,)}, Effects(tells_automation=True)),
    ({"says": ("wait", "their number", "used up"), "attempts": (1, 3)}, Effects(tells_automation=True)),
    ({}, Effects(tells_automation=True, next_elsewhere=True)),
]


def test_every_end_of_an_attempt() -> None:
    all_of_them = list(combinations(says=tuple(ANSWERS), attempts=(1, 3, 4, 9), rules=tuple(NextHost)))
    for one in all_of_them:
        reply = make_reply(int(ANSWERS[one["says"]][:3]), [ANSWERS[one["says"]]])
        verdict = judge(reply.code, reply.enhanced, reply.text, Stage.RCPT)
        facts = Settled(code=reply.code, enhanced=reply.enhanced, attempts=one["attempts"], next_host=one["rules"])
        assert effects_of(verdict, Stage.RCPT, facts) == looked_up(OF_ENDS, one), one
    assert_no_row_is_idle(OF_ENDS, all_of_them)


def test_without_a_reply_no_host_has_put_it_off() -> None:
    assert effects_of(judge_silence(Stage.RCPT), Stage.RCPT, Settled()) == Effects(tells_automation=True)
    assert effects_of(UNRESOLVED, None, Settled(attempts=9)) == Effects(tells_automation=True)


@pytest.mark.parametrize("facts", [Answered(code=250, enhanced=None, text=""), Broken()])
def test_what_a_connection_carried_has_a_stage(facts: Answered | Broken) -> None:
    with pytest.raises(ValueError, match="stage"):
        effects_of(judge_silence(Stage.RCPT), None, facts)


# The scope


@pytest.mark.parametrize("scope", ReplyScope)
def test_the_scope_decides_what_else_is_affected(scope: ReplyScope) -> None:
    """The verdicts differ only in their scope."""
    verdict = Verdict(Judgement.DEFERRED, scope, BounceClass.SYSTEM_FAILURE)
    is_of_the_host = scope in (ReplyScope.HOST, ReplyScope.SITE)
    unreached = effects_of(verdict, Stage.CONNECT, Unreached())
    assert unreached.address_failed is is_of_the_host
    assert unreached.site is (OfSite.BACKS_OFF if is_of_the_host else OfSite.UNTOUCHED)
    answered = effects_of(verdict, Stage.RCPT, Answered(code=451, enhanced="4.3.0", text="451 4.3.0 later"))
    assert answered.onward is (Onward.SETTLED if scope is ReplyScope.SITE else Onward.ELSEWHERE)
    settled = effects_of(verdict, Stage.RCPT, Settled(code=451, enhanced="4.3.0"))
    assert settled.next_elsewhere is (scope is not ReplyScope.SITE)
