"""The meaning of replies and failures: a corpus of real replies, and effects that no reply may have."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from actors.smtp.reply import make_reply
from cluster.policy.replies.bounce_class import BounceClass
from cluster.policy.replies.bounce_rules import EXAMINED_CHARS, RULES, BounceRules, ReplyScope, normalised
from cluster.policy.replies.stage import Stage
from cluster.policy.replies.verdict import (
    ACCEPTED,
    UNRESOLVED,
    UNROUTABLE,
    UNSENDABLE,
    Judgement,
    Verdict,
    expired,
    judge,
    judge_parting,
    judge_silence,
)
from tests.growth import assert_in_proportion, assert_quicker

CORPUS = tomllib.loads((Path(__file__).parent / "corpus" / "replies.toml").read_text(encoding="utf-8"))["source"]
REPLIES = [(reply["says"], reply["at"], reply["is"]) for source in CORPUS for reply in source["replies"]]
TRANSACTION = (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END_OF_DATA)


def verdict_on(says: str, at: str = "rcpt") -> Verdict:
    lines = says.split("\n")
    reply = make_reply(int(lines[0][:3]), lines)
    return judge(reply.code, reply.enhanced, reply.text, Stage(at))


def in_words(verdict: Verdict) -> str:
    if verdict == ACCEPTED:
        return "accepted"
    parts = (verdict.judgement, verdict.bounce_type, verdict.bounce_class, verdict.scope)
    return " ".join(part for part in parts if part is not None)


# The corpus


@pytest.mark.parametrize(("says", "at", "verdict"), REPLIES, ids=[says[:70] for says, _, _ in REPLIES])
def test_the_corpus(says: str, at: str, verdict: str) -> None:
    assert in_words(verdict_on(says, at)) == verdict


def test_the_corpus_is_large_and_says_where_each_reply_is_from() -> None:
    assert len({says for says, _, _ in REPLIES}) == len(REPLIES) >= 240
    assert all(source["name"] and source["replies"] for source in CORPUS)


def test_every_rule_is_met_by_a_real_reply() -> None:
    assert {rule.name for rule in RULES.rules} == {verdict_on(says, at).rule for says, at, _ in REPLIES} - {""}


def test_every_class_of_a_reply_is_met() -> None:
    met = {verdict_on(says, at).bounce_class for says, at, _ in REPLIES}
    assert set(BounceClass) <= met


# The rules


def test_rules_have_names_of_their_own_and_sources() -> None:
    assert len({rule.name for rule in RULES.rules}) == len(RULES.rules)
    assert all(rule.source for rule in RULES.rules)


def test_the_last_rule_matches_everything() -> None:
    last = RULES.rules[-1]
    assert not (last.codes or last.status or last.stages or last.says)


def test_phrases_are_written_as_texts_are_compared() -> None:
    for rule in RULES.rules:
        for says in rule.says:
            assert says == says.lower() and "@" not in says and "  " not in says, (rule.name, says)


RULE = '[[rule]]\nname = "a"\nsource = "b"\nclass = "other"\n'


@pytest.mark.parametrize("more", ['scope = "planet"', 'judgement = "accepted"', "retries = 3", 'stages = ["lunch"]'])
def test_a_rule_that_says_nonsense_is_an_error(more: str) -> None:
    assert len(BounceRules.parse(RULE).rules) == 1
    with pytest.raises(msgspec.ValidationError):
        BounceRules.parse(RULE + more)


def test_a_rule_may_be_for_some_stages_and_have_a_gap() -> None:
    rules = BounceRules.parse(
        '[[rule]]\nname = "gap"\nsource = "s"\nclass = "spam"\nstages = ["data"]\nsays = ["too * much"]\n' + RULE
    )
    assert rules.first_match(550, None, "550 much too, too very\n550 much", Stage.DATA).name == "gap"
    assert rules.first_match(550, None, "550 much too", Stage.DATA).name == "a"
    assert rules.first_match(550, None, "550 too much", Stage.RCPT).name == "a"


# The outcome of the delivery


@pytest.mark.parametrize("stage", TRANSACTION)
@pytest.mark.parametrize(
    ("says", "judgement"),
    [
        ("250 2.0.0 Ok: queued as 4F", Judgement.ACCEPTED),
        ("299 spam user unknown", Judgement.ACCEPTED),
        ("354 go ahead", Judgement.DEFERRED),
        ("450 5.1.1 no such user", Judgement.DEFERRED),
        ("550 4.1.1 no such user", Judgement.BOUNCED),
        ("599", Judgement.BOUNCED),
        ("550 Greylisted, come back in 5 minutes", Judgement.DEFERRED),
        ("550 5.5.3 Too many recipients", Judgement.DEFERRED),
        ("552 too many recipients", Judgement.DEFERRED),
    ],
)
def test_the_code_judges_save_where_a_rule_knows_better(stage: Stage, says: str, judgement: Judgement) -> None:
    if judgement is Judgement.ACCEPTED and stage is Stage.DATA:
        judgement = Judgement.DEFERRED  # no message was sent that could have been accepted
    verdict = verdict_on(says, stage)
    assert verdict.judgement is judgement
    assert (verdict.bounce_type is not None) is (judgement is Judgement.BOUNCED)
    assert (verdict.bounce_class is None) is (judgement is Judgement.ACCEPTED)


def test_what_is_accepted_is_never_read() -> None:
    assert judge(250, None, None, Stage.END_OF_DATA) is ACCEPTED  # type: ignore[arg-type]


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage not in TRANSACTION])
def test_a_refusal_outside_a_transaction_says_nothing_of_the_message(stage: Stage) -> None:
    for verdict in (judge(550, "5.7.1", "550 5.7.1 no", stage), judge_parting(550, "5.7.1", "550 5.7.1 no", stage)):
        assert (verdict.judgement, verdict.bounce_class) == (Judgement.DEFERRED, BounceClass.POLICY)
        assert verdict.scope in (ReplyScope.SESSION, ReplyScope.HOST, ReplyScope.SITE)


# The scope


@pytest.mark.parametrize(
    ("stage", "says", "scope"),
    [
        (Stage.RCPT, "450 4.2.0 later", ReplyScope.RECIPIENT),
        (Stage.MAIL, "450 4.2.0 later", ReplyScope.MESSAGE),
        (Stage.END_OF_DATA, "450 4.2.0 later", ReplyScope.MESSAGE),
        (Stage.GREETING, "450 4.2.0 later", ReplyScope.HOST),
        (Stage.RSET, "450 4.2.0 later", ReplyScope.SESSION),
        (Stage.RCPT, "421 4.2.0 later", ReplyScope.SESSION),
        (Stage.MAIL, "421 4.2.0 later", ReplyScope.SESSION),
        (Stage.GREETING, "421 4.2.0 later", ReplyScope.HOST),
        (Stage.MAIL, "421 4.7.1 blocked using dnsbl.example", ReplyScope.SITE),
        (Stage.RCPT, "550 5.7.1 blocked using dnsbl.example", ReplyScope.SITE),
    ],
)
def test_the_scope_is_the_stage_s_unless_the_rule_knows_it(stage: Stage, says: str, scope: ReplyScope) -> None:
    assert verdict_on(says, stage).scope is scope


@pytest.mark.parametrize("stage", Stage)
def test_a_parting_word_ends_at_least_the_session(stage: Stage) -> None:
    verdict = judge_parting(421, "4.2.1", "421 4.2.1 mailbox full", stage)
    assert verdict.judgement is Judgement.DEFERRED
    assert verdict.scope in (ReplyScope.SESSION, ReplyScope.HOST)


def test_a_positive_reply_to_no_command_accepts_nothing() -> None:
    verdict = judge_parting(250, None, "250 ok", Stage.IDLE)
    assert verdict == judge_silence(Stage.IDLE)
    assert verdict.judgement is Judgement.DEFERRED


# Without a reply


@pytest.mark.parametrize(
    ("stage", "bounce_class", "scope"),
    [
        (Stage.CONNECT, BounceClass.NO_ANSWER, ReplyScope.HOST),
        (Stage.GREETING, BounceClass.NO_ANSWER, ReplyScope.HOST),
        (Stage.EHLO, BounceClass.CONNECTION_LOST, ReplyScope.HOST),
        (Stage.STARTTLS, BounceClass.TLS_FAILURE, ReplyScope.HOST),
        (Stage.TLS, BounceClass.TLS_FAILURE, ReplyScope.HOST),
        (Stage.AUTH, BounceClass.CREDENTIALS, ReplyScope.HOST),
        (Stage.MAIL, BounceClass.CONNECTION_LOST, ReplyScope.SESSION),
        (Stage.RCPT, BounceClass.CONNECTION_LOST, ReplyScope.SESSION),
        (Stage.END_OF_DATA, BounceClass.CONNECTION_LOST, ReplyScope.SESSION),
        (Stage.IDLE, BounceClass.CONNECTION_LOST, ReplyScope.SESSION),
    ],
)
def test_silence_is_judged_by_what_was_waited_for(stage: Stage, bounce_class: BounceClass, scope: ReplyScope) -> None:
    assert judge_silence(stage) == Verdict(Judgement.DEFERRED, scope, bounce_class)


def test_dns_and_missing_extensions() -> None:
    assert in_words(UNRESOLVED) == "deferred dns_failure site"
    assert in_words(UNROUTABLE) == "bounced hard bad_domain site"
    assert in_words(UNSENDABLE) == "bounced soft unsupported message"


def test_what_expires_bounces_and_keeps_the_rule_that_held_it_back() -> None:
    last = verdict_on("450 4.2.2 mailbox full")
    assert expired(last) == Verdict(
        Judgement.BOUNCED, ReplyScope.RECIPIENT, BounceClass.EXPIRED, "soft", "mailbox-full"
    )


# The peer chooses the text


@pytest.mark.parametrize(
    "says",
    [
        "550 5.1.1 <spam@blacklist.example>: user unknown",
        "550 5.1.1 spam@virus.example... unknown user",
        "550 5.1.1 <greylisted@example.com> rate.limit@example.com user unknown",
    ],
)
def test_an_address_has_no_say(says: str) -> None:
    assert verdict_on(says).bounce_class is BounceClass.BAD_MAILBOX


def test_a_phrase_is_found_across_lines_whatever_its_case_and_spaces() -> None:
    assert normalised("550-5.1.1 The   USER\n550-5.1.1 is\n550 5.1.1 un\u2019known") == " the user is un'known "
    assert verdict_on("550-Your message\n550-was taken for\n550 SP\u0130 bulk\n550  MAIL").rule == "spam"


@pytest.mark.parametrize(
    "text",
    ["x", " a", "@", "550-", "550 5.1.1\n", "too ", "\u0130"],
    ids=["word", "words", "at", "codes", "lines", "beginnings", "growing"],
)
def test_a_hostile_text_costs_no_more_than_its_beginning(text: str) -> None:
    def judged(chars: int) -> None:
        judge(550, None, (text * chars)[:chars], Stage.RCPT)

    hostile = text * 65536
    assert len(normalised(hostile)) <= 3 * EXAMINED_CHARS + 2
    assert_in_proportion(judged, EXAMINED_CHARS // 16, EXAMINED_CHARS)
    assert_quicker(
        lambda: judge(550, None, hostile, Stage.RCPT), lambda: judge(550, None, hostile[:8192], Stage.RCPT), 3
    )
    assert judge(250, None, hostile, Stage.RCPT) is ACCEPTED


@pytest.mark.parametrize("says", ["550 4.2.1 busy, try later", "550 4.1.1 no such user", "554 2.0.0 user unknown"])
def test_a_refusal_whose_enhanced_code_disagrees_bounces_softly(says: str) -> None:
    reply = make_reply(int(says[:3]), [says])
    verdict = judge(reply.code, reply.enhanced, reply.text, Stage.RCPT)
    assert (verdict.judgement, verdict.bounce_type) == (Judgement.BOUNCED, "soft")
