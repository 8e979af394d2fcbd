"""Judges replies and failures: the only module that decides by an SMTP reply code what becomes of a delivery.

The code (RFC 5321 §4.2) decides the delivery, except where a rule knows that a 5yz is not permanent. The rules
(``bounce_rules.toml``) give the bounce class and the scope. Failures without a reply are judged here, too.
"""

import re
from enum import StrEnum

from msgspec import Struct

from cluster.policy.replies.bounce_class import BounceClass, BounceType
from cluster.policy.replies.bounce_rules import EXAMINED_CHARS, RULES, BounceRule, BounceRules, ReplyScope
from cluster.policy.replies.stage import Stage

SERVICE_CLOSES = 421
"""RFC 5321 §4.2.3, §3.8: it ends the connection, as the reply to any command."""


class Judgement(StrEnum):
    """The outcome of a delivery's attempt."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    BOUNCED = "bounced"


class Verdict(Struct, frozen=True):
    judgement: Judgement
    scope: ReplyScope = ReplyScope.RECIPIENT
    bounce_class: BounceClass | None = None
    """None only for ACCEPTED."""
    bounce_type: BounceType | None = None
    """Set only for BOUNCED."""
    rule: str = ""
    """The rule that classified the reply; "" without a reply."""


ACCEPTED = Verdict(Judgement.ACCEPTED)
UNRESOLVED = Verdict(Judgement.DEFERRED, ReplyScope.SITE, BounceClass.DNS_FAILURE)
"""The DNS did not answer."""
UNROUTABLE = Verdict(Judgement.BOUNCED, ReplyScope.SITE, BounceClass.BAD_DOMAIN, "hard")
"""The DNS answered that the domain does not exist or accepts no mail (RFC 7505)."""
UNSENDABLE = Verdict(Judgement.BOUNCED, ReplyScope.MESSAGE, BounceClass.UNSUPPORTED, "soft")
"""The host lacks an extension that the message needs (such as RFC 6531 §3.2). The address may be valid."""

_BREADTH = {scope: breadth for breadth, scope in enumerate(ReplyScope)}
_OF_PARAMETERS = frozenset((500, 501, 502, 504, 553, 555))
_NAMES_SMTPUTF8 = re.compile(r"utf-?8|internationali[sz]ed|non-ascii|\beai\b", re.IGNORECASE)
_TRANSACTION = frozenset((Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END_OF_DATA))
_SCOPES = {
    Stage.RCPT: ReplyScope.RECIPIENT,
    Stage.MAIL: ReplyScope.MESSAGE,
    Stage.DATA: ReplyScope.MESSAGE,
    Stage.END_OF_DATA: ReplyScope.MESSAGE,
    Stage.IDLE: ReplyScope.SESSION,
    Stage.RSET: ReplyScope.SESSION,
    Stage.QUIT: ReplyScope.SESSION,
}
"""The scope of a reply by its stage. In stages before the first transaction, it is the host."""
_SILENCE = {
    Stage.CONNECT: BounceClass.NO_ANSWER,
    Stage.GREETING: BounceClass.NO_ANSWER,
    Stage.STARTTLS: BounceClass.TLS_FAILURE,
    Stage.TLS: BounceClass.TLS_FAILURE,
    Stage.AUTH: BounceClass.CREDENTIALS,
}
"""The class of a failure without a reply, by stage; in other stages it is a lost connection."""


def judge(code: int, enhanced: str | None, text: str, stage: Stage, rules: BounceRules = RULES) -> Verdict:
    """The verdict on the reply that decided a recipient, by its stage.

    ``text`` has all its lines, as received. ``rules``: others are for trying them out (cluster/policy/whatif).
    """
    # A reply to DATA comes before the message: a 2yz to it is invalid, and nothing has been accepted.
    if 200 <= code < 300 and stage is not Stage.DATA:
        return ACCEPTED
    rule = rules.first_match(code, enhanced, text, stage)
    # 4yz, and any reply outside a transaction: a retry cannot lose the message.
    if not 500 <= code < 600 or stage not in _TRANSACTION or rule.judgement is not None:
        return Verdict(Judgement.DEFERRED, _scope(rule, code, stage), rule.bounce_class, None, rule.name)
    return _bounced(rule, enhanced, _scope(rule, code, stage))


def judge_parting(code: int, enhanced: str | None, text: str, stage: Stage, rules: BounceRules = RULES) -> Verdict:
    """The verdict on a connection that ended with this reply, or was refused with it. It always defers: even a 5yz
    greeting is no verdict on the message. ``rules``: as of ``judge``."""
    if not 400 <= code < 600:
        return judge_silence(stage)
    rule = rules.first_match(code, enhanced, text, stage)
    scope = _wider(_scope(rule, code, stage), _scope_of_end(stage))
    return Verdict(Judgement.DEFERRED, scope, rule.bounce_class, None, rule.name)


def judge_silence(stage: Stage) -> Verdict:
    """The verdict on a connection that failed without a reply."""
    return Verdict(Judgement.DEFERRED, _scope_of_end(stage), _SILENCE.get(stage, BounceClass.CONNECTION_LOST))


def judge_report(code: int, enhanced: str | None, text: str, *, failed: bool) -> Verdict:
    """The verdict on what a later report says of a recipient: that delivery ``failed``, or is delayed.

    ``code`` is 0 where the report has none. Then only the status and the words tell the class, so a failure is hard
    only when they say so. The scope is the recipient: a report says nothing of the host that we gave the message to.
    """
    rule = RULES.first_match(code, enhanced, text, Stage.RCPT)
    if not failed:
        return Verdict(Judgement.DEFERRED, ReplyScope.RECIPIENT, rule.bounce_class, None, rule.name)
    digit = str(code)[0] if code else (enhanced or "5")[0]
    if digit != "5":  # the host tried it until the end of its lifetime
        return expired(Verdict(Judgement.DEFERRED, ReplyScope.RECIPIENT, rule.bounce_class, None, rule.name))
    return _bounced(rule, enhanced, ReplyScope.RECIPIENT)


def wants_ascii(verdict: Verdict, code: int, enhanced: str | None, text: str, stage: Stage) -> bool:
    """Whether a host that announces SMTPUTF8 refuses a message because the message needs it.

    x.6.7 and x.6.9 mean this (RFC 6531 §3.7.4.2). As replies to MAIL, which had the parameter, so do the codes for an
    unrecognised parameter or argument (RFC 5321 §4.1.1.11, §4.2.2), and texts that name SMTPUTF8. Where such a reply
    has another cause, the mistake costs one more transaction.
    """
    if verdict.judgement is not Judgement.BOUNCED:
        return False
    if (enhanced or "").endswith((".6.7", ".6.9")):
        return True
    return stage is Stage.MAIL and (code in _OF_PARAMETERS or _NAMES_SMTPUTF8.search(text[:EXAMINED_CHARS]) is not None)


def says_malformed(enhanced: str | None) -> bool:
    """Whether a reply says that the recipient's address is malformed (RFC 3463 §3.2: X.1.3)."""
    return enhanced is not None and enhanced.endswith(".1.3")


def expired(last: Verdict) -> Verdict:
    """The verdict on a delivery that expires; ``last`` is the verdict on its last attempt."""
    bounce_type = BounceClass.EXPIRED.bounce_type
    return Verdict(Judgement.BOUNCED, last.scope, BounceClass.EXPIRED, bounce_type, last.rule)


def reaches(verdict: Verdict, scope: ReplyScope) -> bool:
    """Whether a verdict's scope is at least as wide as this one."""
    return _BREADTH[verdict.scope] >= _BREADTH[scope]


def _bounced(rule: BounceRule, enhanced: str | None, scope: ReplyScope) -> Verdict:
    bounce_type = rule.bounce_class.bounce_type
    if enhanced is not None and not enhanced.startswith("5."):
        bounce_type = "soft"  # the codes contradict each other (RFC 3463 §2), so the address may be valid
    return Verdict(Judgement.BOUNCED, scope, rule.bounce_class, bounce_type, rule.name)


def _scope_of_end(stage: Stage) -> ReplyScope:
    """The minimum scope of a connection that ended or was refused: the session, or the host before the first
    transaction."""
    return _wider(_SCOPES.get(stage, ReplyScope.HOST), ReplyScope.SESSION)


def _scope(rule: BounceRule, code: int, stage: Stage) -> ReplyScope:
    scope = rule.scope or _SCOPES.get(stage, ReplyScope.HOST)
    return _wider(scope, ReplyScope.SESSION) if code == SERVICE_CLOSES else scope


def _wider(one: ReplyScope, other: ReplyScope) -> ReplyScope:
    return max(one, other, key=_BREADTH.__getitem__)
