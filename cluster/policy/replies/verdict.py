"""What a reply or a failure means: the one place that compares an SMTP reply code with anything (RFC 5321 §4.2).

The reply code alone says what becomes of the delivery, save where a rule knows that a 5yz is not meant for ever; the
rules (``bounce_rules.toml``) say why and how far it reaches. What came without a reply is judged here, too.
"""

import re
from enum import StrEnum

from msgspec import Struct

from cluster.policy.replies.bounce_class import BounceClass, BounceType
from cluster.policy.replies.bounce_rules import EXAMINED_CHARS, RULES, BounceRule, Scope
from cluster.policy.replies.stage import Stage

SERVICE_CLOSES = 421
"""RFC 5321 §4.2.3, §3.8: whatever it answers, the connection is over."""


class Judgement(StrEnum):
    """What becomes of the delivery."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    BOUNCED = "bounced"


class Verdict(Struct, frozen=True):
    judgement: Judgement
    scope: Scope = Scope.RECIPIENT
    bounce_class: BounceClass | None = None
    """None of what was accepted, and only of that."""
    bounce_type: BounceType | None = None
    """Of what was bounced, and only of that."""
    rule: str = ""
    """The rule that classed the reply; "" where no reply was."""


ACCEPTED = Verdict(Judgement.ACCEPTED)
UNRESOLVED = Verdict(Judgement.DEFERRED, Scope.SITE, BounceClass.DNS_FAILURE)
"""The DNS did not say where the mail goes."""
UNROUTABLE = Verdict(Judgement.BOUNCED, Scope.SITE, BounceClass.BAD_DOMAIN, "hard")
"""It said that there is no such domain, or nothing there that takes mail (RFC 7505)."""
UNSENDABLE = Verdict(Judgement.BOUNCED, Scope.MESSAGE, BounceClass.UNSUPPORTED, "soft")
"""The host lacks what the message needs (RFC 6531 §3.2 and its like). The address may be as good as any."""

_BREADTH = {scope: breadth for breadth, scope in enumerate(Scope)}
_OF_PARAMETERS = frozenset((500, 501, 502, 504, 553, 555))
_NAMES_SMTPUTF8 = re.compile(r"utf-?8|internationali[sz]ed|non-ascii|\beai\b", re.IGNORECASE)
_TRANSACTION = frozenset((Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END_OF_DATA))
_SCOPES = {
    Stage.RCPT: Scope.RECIPIENT,
    Stage.MAIL: Scope.MESSAGE,
    Stage.DATA: Scope.MESSAGE,
    Stage.END_OF_DATA: Scope.MESSAGE,
    Stage.IDLE: Scope.SESSION,
    Stage.RSET: Scope.SESSION,
    Stage.QUIT: Scope.SESSION,
}
"""Whom a reply to each stage concerns; before the first transaction, the host."""
_SILENCE = {
    Stage.CONNECT: BounceClass.NO_ANSWER,
    Stage.GREETING: BounceClass.NO_ANSWER,
    Stage.STARTTLS: BounceClass.TLS_FAILURE,
    Stage.TLS: BounceClass.TLS_FAILURE,
    Stage.AUTH: BounceClass.CREDENTIALS,
}
"""The class of a failure without a reply; everywhere else a connection was lost."""


def judge(code: int, enhanced: str | None, text: str, stage: Stage) -> Verdict:
    """The verdict on the reply that ended a recipient's transaction, and what it answered.

    text: all its lines, as received.
    """
    # What was said to DATA was said before the message: a 2yz there is nonsense, and nothing has been accepted.
    if 200 <= code < 300 and stage is not Stage.DATA:
        return ACCEPTED
    rule = RULES.first_match(code, enhanced, text, stage)
    # 4yz, and anything that is no reply to a transaction: trying again cannot lose the message.
    if not 500 <= code < 600 or stage not in _TRANSACTION or rule.judgement is not None:
        return Verdict(Judgement.DEFERRED, _scope(rule, code, stage), rule.bounce_class, None, rule.name)
    bounce_type = rule.bounce_class.bounce_type
    if enhanced is not None and not enhanced.startswith("5."):
        bounce_type = "soft"  # the host contradicts itself (RFC 3463 §2): the address may be as good as any
    return Verdict(Judgement.BOUNCED, _scope(rule, code, stage), rule.bounce_class, bounce_type, rule.name)


def judge_parting(code: int, enhanced: str | None, text: str, stage: Stage) -> Verdict:
    """The verdict on a connection that ended with this reply, or was not to be had: never that of the message, not
    even for a 5yz greeting, and whatever the code."""
    if not 400 <= code < 600:
        return judge_silence(stage)
    rule = RULES.first_match(code, enhanced, text, stage)
    scope = _wider(_scope(rule, code, stage), _scope_of_end(stage))
    return Verdict(Judgement.DEFERRED, scope, rule.bounce_class, None, rule.name)


def judge_silence(stage: Stage) -> Verdict:
    """The verdict on a connection that failed without a word."""
    return Verdict(Judgement.DEFERRED, _scope_of_end(stage), _SILENCE.get(stage, BounceClass.CONNECTION_LOST))


def wants_ascii(verdict: Verdict, code: int, enhanced: str | None, text: str, stage: Stage) -> bool:
    """Whether a host that announces SMTPUTF8 refuses what needs it all the same.

    x.6.7 and x.6.9 say so (RFC 6531 §3.7.4.2). To MAIL, which had the parameter, so do the codes for a parameter or an
    argument that it does not take (RFC 5321 §4.1.1.11, §4.2.2), and words about it. Where they meant something else,
    one more transaction is what that costs.
    """
    if verdict.judgement is not Judgement.BOUNCED:
        return False
    if (enhanced or "").endswith((".6.7", ".6.9")):
        return True
    return stage is Stage.MAIL and (code in _OF_PARAMETERS or _NAMES_SMTPUTF8.search(text[:EXAMINED_CHARS]) is not None)


def expired(last: Verdict) -> Verdict:
    """The verdict on a delivery whose lifetime ended with this one."""
    bounce_type = BounceClass.EXPIRED.bounce_type
    return Verdict(Judgement.BOUNCED, last.scope, BounceClass.EXPIRED, bounce_type, last.rule)


def reaches(verdict: Verdict, scope: Scope) -> bool:
    """Whether a verdict is on as much as this, or more."""
    return _BREADTH[verdict.scope] >= _BREADTH[scope]


def _scope_of_end(stage: Stage) -> Scope:
    """How far it reaches at least that a connection ended, or was not to be had: before the first transaction, the
    host."""
    return _wider(_SCOPES.get(stage, Scope.HOST), Scope.SESSION)


def _scope(rule: BounceRule, code: int, stage: Stage) -> Scope:
    scope = rule.scope or _SCOPES.get(stage, Scope.HOST)
    return _wider(scope, Scope.SESSION) if code == SERVICE_CLOSES else scope


def _wider(one: Scope, other: Scope) -> Scope:
    return max(one, other, key=_BREADTH.__getitem__)
