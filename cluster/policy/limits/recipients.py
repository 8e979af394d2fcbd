"""Whether a recipient was refused because the transaction had too many: another transaction may accept it.

Hosts word this in many ways, with codes that mean other things as well. The reply's bounce class is enough where it
says so (``bounce_rules.toml``); for other wordings, the host must have accepted another recipient of the transaction.
"""

import re
from enum import StrEnum

from cluster.policy.limits.session import BY_THE_CLOCK, EXAMINED_CHARS
from cluster.policy.replies.bounce_class import BounceClass
from cluster.policy.replies.bounce_rules import normalised
from cluster.policy.replies.verdict import Verdict


class Others(StrEnum):
    """How the host answered the other recipients of the transaction."""

    REFUSED = "refused"
    """All were refused, or there were none."""
    TAKEN = "taken"
    """The host answered RCPT of another recipient with 2yz."""
    TAKEN_BEFORE = "taken_before"
    """It did so before it refused this one, at the same stage."""


_SAYS_NO_MORE = frozenset((BounceClass.MAILBOX_FULL, BounceClass.SYSTEM_FAILURE, BounceClass.OTHER))
"""The classes of a 552 whose text does not say what was exceeded."""
_OUT_OF_SEQUENCE = 503

_MANY = r"(?:recipients|rcpts|addressees)\b"
_SOME = r"(?:recipients?|rcpts?|rcpt to|addressees?)\b"
_NUMBER = r"(?:one|two|three|five|ten|an?|single|\(?\d{1,6}\)?)"
_NUMBERED = re.compile(
    rf"\b(?:only|just|max|maximum|most|than|up to|limit|limited to|limit is|allowed is) (?:of |to )?(?:a )?{_NUMBER}"
    rf"(?: [a-z]+)? {_SOME}"
    rf"|\b(?:one|single|1) {_SOME} (?:only|at a time|at once|is|per|allowed|permitted|in)\b"
    rf"|\b(?:multiple|several|too many|so many|excessive|additional|any more|no more) (?:of )?(?:[a-z]+ )?{_MANY}"
    r"|\btoo many (?:addresses|destinations)\b|\bmulti-?recipient"
)
""" "only one recipient allowed", "message has more than 5 recipients", "multiple recipients not allowed"."""
_COUNTED = re.compile(
    rf"\b(?:number|count|amount|quantity) of (?:[a-z]+ ){{0,3}}?{_MANY}"
    rf"|\b(?:recipients?|rcpts?|addressees?)[ -](?:count|number|limits?|quota|maximum)\b"
    rf"|\b(?:max|maximum|limit|exceed(?:ed|s|ing)?) (?:[a-z]+ ){{0,3}}?{_MANY}"
    rf"|\b{_MANY} (?:[a-z]+ ){{0,2}}?exceed"
)
_EXCEEDED = re.compile(r"\bexceed|\blimit|\bmax|\btoo (?:many|high|large|big)\b|\breached\b|\bover\b|\ballowed\b")
""" "number of recipients exceeds limit", "recipients limit exceeded"."""
_DOMAINS = re.compile(
    rf"\b{_MANY} (?:[a-z]+ ){{0,4}}?(?:same|one|single) domain\b"
    r"|\b(?:multiple|different|several|mixed|too many|more than one) (?:destination |recipient |rcpt )?domains?\b"
    r"|\bmix(?:ed|ing)? (?:of )?(?:recipients|domains)\b"
)
""" "all recipients must be in same domain"."""


def wants_another_transaction(verdict: Verdict, code: int, enhanced: str | None, text: str, others: Others) -> bool:
    """Whether another transaction may accept a recipient. ``text``: all lines of the refusal, as received.

    A 452 or 552 without a further reason means this when others were accepted before (RFC 5321 §4.5.3.1.10). So does a
    503: the earlier RCPTs were not out of sequence.
    """
    if verdict.bounce_class is BounceClass.TOO_MANY_RECIPIENTS:
        return True
    if others is Others.REFUSED or not 400 <= code < 600:
        return False
    if others is Others.TAKEN_BEFORE:
        if code == _OUT_OF_SEQUENCE:
            return True
        if code == 452 and enhanced is None and verdict.bounce_class is BounceClass.SYSTEM_FAILURE:
            return True
        of_the_mailbox = enhanced is not None and enhanced.split(".")[1] == "2"
        if code == 552 and verdict.bounce_class in _SAYS_NO_MORE and not of_the_mailbox:
            return True
    return _is_of_their_number(text)


def _is_of_their_number(text: str) -> bool:
    said = normalised(text)[:EXAMINED_CHARS]
    if BY_THE_CLOCK.search(said):
        return False
    if _NUMBERED.search(said) or _DOMAINS.search(said):
        return True
    return _COUNTED.search(said) is not None and _EXCEEDED.search(said) is not None
