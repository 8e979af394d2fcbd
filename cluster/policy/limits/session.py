"""What one connection may carry: the limits that a host announces (RFC 9422), and the replies that say one is reached.

A limit of the connection says nothing about the message or the rate: the next connection can carry what this one may
not. So it is distinguished from limits per hour or day, and from limits on the number of connections.
"""

import re
from collections.abc import Sequence, Set
from enum import StrEnum

from msgspec import Struct

from cluster.policy.replies.bounce_rules import normalised
from cluster.policy.replies.verdict import SERVICE_CLOSES
from cluster.policy.routes.domains import domain_of

UNBOUNDED = 1 << 31
EXAMINED_CHARS = 500
"""Hosts word this briefly. The peer chooses the text, so the time spent on it must be bounded."""


class SessionLimits(Struct, frozen=True, kw_only=True):
    """Each limit is at least 1."""

    messages: int = UNBOUNDED
    """Transactions on one connection, whatever their outcome: MAILMAX."""
    recipients: int = UNBOUNDED
    """Recipients on one connection, over all its transactions. RFC 9422 has no parameter for it."""
    recipients_per_transaction: int = UNBOUNDED
    """RCPTMAX."""
    domains: int = UNBOUNDED
    """Different domains of recipients on one connection: RCPTDOMAINMAX."""

    def narrowed(self, other: "SessionLimits") -> "SessionLimits":
        """The stricter of both limits, one by one."""
        return SessionLimits(
            messages=min(self.messages, other.messages),
            recipients=min(self.recipients, other.recipients),
            recipients_per_transaction=min(self.recipients_per_transaction, other.recipients_per_transaction),
            domains=min(self.domains, other.domains),
        )

    def described(self) -> str:
        """The limits in words; "" when there are none."""
        bounds = (
            (self.messages, "messages on a connection"),
            (self.recipients, "recipients on a connection"),
            (self.recipients_per_transaction, "recipients in a transaction"),
            (self.domains, "domains on a connection"),
        )
        return ", ".join(f"{bound} {what}" for bound, what in bounds if bound < UNBOUNDED)


UNLIMITED = SessionLimits()

_VALUE = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)
"""RFC 9422 §4: at most six digits, of which the first is not 0."""


def announced(limits: str) -> SessionLimits:
    """The limits in the parameters of LIMITS in the EHLO reply; ``limits`` is "" when there are none. Limits that are
    unknown or malformed are ignored (RFC 9422 §3). Of a repeated one, the lowest value applies."""
    found: dict[str, int] = {}
    for word in limits.split():
        name, _, value = word.partition("=")
        if _VALUE.fullmatch(value):
            found[name.upper()] = min(int(value), found.get(name.upper(), UNBOUNDED))
    if found.keys().isdisjoint(("MAILMAX", "RCPTMAX", "RCPTDOMAINMAX")):
        return UNLIMITED
    return SessionLimits(
        messages=found.get("MAILMAX", UNBOUNDED),
        recipients_per_transaction=found.get("RCPTMAX", UNBOUNDED),
        domains=found.get("RCPTDOMAINMAX", UNBOUNDED),
    )


def fitting(recipients: Sequence[str], at_most: int, domains: Set[str], domains_at_most: int) -> list[int]:
    """The indexes of the recipients, in order, that one transaction may carry: at most ``at_most``, and of at most
    ``domains_at_most`` domains, counting those that the connection has had (``domains``)."""
    known = set(domains)
    places: list[int] = []
    for place, recipient in enumerate(recipients):
        if len(places) >= at_most:
            break
        if domains_at_most < UNBOUNDED:
            domain = domain_of(recipient)
            if domain not in known:
                if len(known) >= domains_at_most:
                    continue
                known.add(domain)
        places.append(place)
    return places


class Spent(StrEnum):
    """Which allowance of a connection is used up."""

    MESSAGES = "messages"
    RECIPIENTS = "recipients"
    OTHER = "other"
    """Time, or something that the host does not name."""


_MESSAGES = r"(?:messages?|msgs?|mails?|e-?mails?|transactions?|envelopes?|deliver(?:y|ies)|mail from)"
_RECIPIENTS = r"(?:recipients?|rcpts?|rcpt to|addressees)"
_KIND = r"(?:(?:single|same|current|given|open|individual|e?smtp|tcp|mail|client|inbound|incoming)[ -]){0,3}"
_UNIT = r"(?:connections?|sessions?)\b(?![ -](?:providers?|types?|pools?|points?|hosts?|networks?|rates?)\b)"
_WHICH = r"(?:(?:this|that|the|your|one|an?|each|every|any|its) )"
_PER = rf"\b(?:per[ -]{_KIND}{_UNIT}|(?:in|on|over|of|for|within|during|through|via|by|from) {_WHICH}?{_KIND}{_UNIT})"
_FEW_WORDS = r"(?: [^ ]+){0,5}?"


def _counted(what: str) -> re.Pattern[str]:
    """ "messages allowed per session", "per-connection message limit", "this connection has sent too many messages"."""
    return re.compile(
        rf"\b{what}\b[^ ]*{_FEW_WORDS} [^ a-z]?{_PER}"
        rf"|{_PER}{_FEW_WORDS} {what}\b"
        rf"|\b(?:this|your) {_KIND}{_UNIT}{_FEW_WORDS} {what}\b"
        rf"|\b(?:connection|session) (?:has )?(?:reached|exceeded|used|had|sent|carried){_FEW_WORDS} {what}\b"
        rf"|\b(?:connection|session) (?:limit|quota|maximum|allowance):?(?: of| is)?(?: \d+)? {what}\b"
        rf"|\b(?:smtp |per[ -]|this )?(?:connection|session)[ -]{what}[ -](?:limit|count|quota|maximum)"
    )


_SPENT = ((Spent.RECIPIENTS, _counted(_RECIPIENTS)), (Spent.MESSAGES, _counted(_MESSAGES)))
_ITS_OWN = re.compile(
    r"\b(?:too many|no more) (?:smtp |mail )?(?:transactions|mail commands|mail from commands)\b"
    r"|\bmax(?:imum)? (?:smtp |mail )?transactions (?:reached|exceeded)\b"
)
"""Only a connection has a limit on these."""
_REACHED = re.compile(
    r"\b(?:(?:messages?|e-?mails?|mails?|transactions?)[ -](?:count )?(?:limit|quota|count)"
    r"|(?:max(?:imum)? (?:number of )?|(?:limit|quota|maximum) of (?:\d+ )?)(?:messages|e-?mails|mails|transactions))"
    r" (?:(?:has|was|is) )?(?:been )?(?:reached|exceeded|exhausted)\b(?! (?:for|by|from|to|of|on)\b)"
)
"""The text does not say whose limit this is; the next connection will show it."""
_RECONNECT = re.compile(r"\bre-?connect\b(?! (?:later|after|in)\b)")
_TOO_MANY = re.compile(
    r"too (?:many|much)|\bmax(?:imum|imal)?\b|\blimit|exceed|reached|quota|\b(?:no|not|only|at) (?:more|most|\d+)"
)
_CODED = re.compile(r"\bmi:dmc\b")
"""NetEase: the number of messages in the current connection is over the limit."""
_SOMETHING = re.compile(
    r"allow(?:ed|able) (?:connection|session) time|(?:connection|session) (?:time|duration|lifetime) (?:limit|exceeded)"
    r"|(?:connection|session) (?:has been )?open (?:for )?too long|maximum (?:connection|session) (?:time|duration)"
    r"|max(?:imum)? (?:time|duration) (?:per|for|of) (?:this |the |a )?(?:smtp )?(?:connection|session)"
    r"|\bsession limits?(?:\(s\))? (?:(?:has|have|was|is) )?(?:been )?(?:exceeded|reached|exhausted)"
)
_TIMED_OUT = re.compile(
    r"\bidle\b|\binactiv|\btime-?out exceeded|\b(?:connection|session|command|client|input|smtp) time(?:-?out|d out)\b"
)
"""For a 421: it may have crossed our command, though it does not mention it."""
_ANOTHER = re.compile(rf"\b(?:in|on|open|use|using|start|with|try) (?:another|a new|a fresh) {_KIND}{_UNIT}")
BY_THE_CLOCK = re.compile(
    r"\b(?:per|(?<!in )(?<!after )an?|each|every|this|last|past|previous|within) (?:\d+ ?)?(?:[a-z]+-)?"
    r"(?:second|minute|min|hour|day|week|month)s?\b"
    r"|/ ?(?:s|sec|m|min|h|hr|hour|d|day)\b|\b(?:hourly|daily|today|frequen\w*|too (?:fast|quickly))\b"
    r"|\brates?\b(?! limit)"
)
_OF_CONNECTIONS = re.compile(
    r"\b(?:concurrent|simultaneous|parallel)\b|too many (?:open |smtp |active )?(?:connections|sessions)\b"
)
_OF_THE_MAILBOX = re.compile(
    r"\b(?:recipient|addressee|user|mailbox|account) (?:(?:is|has|was|already|just) ){0,2}(?:receiv|got\b|gets\b)"
)
_OF_ERRORS = re.compile(
    r"\b(?:invalid|unknown|bad|non-?existent|failed|rejected|undeliverable|unsuccessful|errors?|wrong|spam)\b"
)


def spent(code: int, enhanced: str | None, text: str) -> Spent | None:
    """Which allowance of this connection is used up, if the refusal says so; None for every other reply.

    ``code``: 4yz or 5yz. ``text``: all its lines, as received.
    """
    if not 400 <= code < 600 or (enhanced is not None and enhanced[1:].startswith((".1.", ".2.2", ".6."))):
        return None  # RFC 3463 §3: about the address, the full mailbox, or the content
    if code != SERVICE_CLOSES and enhanced is not None and enhanced[1:].startswith(".2."):
        return None  # about the mailbox: only with 421 is it more likely a mistake
    said = normalised(text)[:EXAMINED_CHARS]
    if code == SERVICE_CLOSES and _TIMED_OUT.search(said):
        return Spent.OTHER
    if BY_THE_CLOCK.search(said) or _OF_CONNECTIONS.search(said) or _OF_ERRORS.search(said):
        return None
    if _OF_THE_MAILBOX.search(said):
        return None
    if _CODED.search(said) or _ITS_OWN.search(said) or _REACHED.search(said):
        return Spent.MESSAGES
    if _TOO_MANY.search(said):
        for what, pattern in _SPENT:
            if pattern.search(said):
                return what
        if _RECONNECT.search(said) and "rate limit" not in said:
            return Spent.OTHER
    return Spent.OTHER if _SOMETHING.search(said) or _ANOTHER.search(said) else None
