"""Bounce classes: why mail is refused or fails, and the bounce type of each class.

The classes group the codes of the IANA registry of enhanced status codes (RFC 5248; the codes themselves are in RFC
3463, 4954, 6531, 6710, 7293, 7372, 7505, 8617, 8689 …) by what a sender can do about them. The class determines the
type, so no rule can call a full mailbox a bad address.
"""

from enum import StrEnum
from typing import Literal

BounceType = Literal["hard", "soft", "block"]
"""hard: the address is bad and should not be used again. soft: the next message may be accepted. block: the destination
refuses us, or the content, by policy."""


class BounceClass(StrEnum):
    BAD_MAILBOX = "bad_mailbox"
    """x.1.1, x.1.3, x.1.4, x.7.17: the mailbox does not exist, or has a new owner."""
    BAD_DOMAIN = "bad_domain"
    """x.1.2, x.1.10, x.7.18: the domain does not exist, accepts no mail, or has a new owner."""
    BAD_SENDER = "bad_sender"
    """x.1.7, x.1.8, x.7.27: the envelope sender is not acceptable, or could not receive a bounce."""
    MAILBOX_FULL = "mailbox_full"
    """x.2.2."""
    MAILBOX_DISABLED = "mailbox_disabled"
    """x.2.1, x.1.6, x.7.13: the mailbox exists but no longer accepts mail."""
    MESSAGE_TOO_LARGE = "message_too_large"
    """x.2.3, x.3.4, x.7.16."""
    TOO_MANY_RECIPIENTS = "too_many_recipients"
    """x.5.3: too many in one transaction. The others may be sent in another."""
    GREYLISTED = "greylisted"
    """RFC 6647: the first attempt is always refused. The registry has no code for it; 4.2.0 and 4.7.1 are common."""
    RATE_LIMITED = "rate_limited"
    """x.4.5, x.7.28: too much, too fast, or over too many connections."""
    BLOCKLISTED = "blocklisted"
    """Mostly x.7.1: our address or domain is on a block list, or has a bad reputation."""
    AUTHENTICATION = "authentication"
    """x.7.20 to x.7.24, x.7.26, x.7.29 (RFC 7372, RFC 8617): SPF, DKIM, DMARC or ARC did not pass."""
    SOURCE_DNS = "source_dns"
    """x.7.25: our address has no reverse name, or EHLO and the DNS disagree."""
    SPAM = "spam"
    """Mostly x.7.1: the host considers this message spam."""
    UNSAFE_CONTENT = "unsafe_content"
    """Mostly x.7.1: a virus, or an attachment of a prohibited type."""
    BAD_CONTENT = "bad_content"
    """x.6.x: the message violates RFC 5322 or MIME, or cannot be converted."""
    POLICY = "policy"
    """x.7.x without more detail: the host refuses us by policy."""
    RELAYING_DENIED = "relaying_denied"
    """The host accepts no mail for this domain from us."""
    CREDENTIALS = "credentials"
    """x.7.8, x.7.9, x.7.11, x.7.12, x.7.14: SMTP AUTH (RFC 4954) is required, or failed."""
    TLS_FAILURE = "tls_failure"
    """x.7.10, x.7.30: encryption is required, or failed."""
    PROTOCOL_ERROR = "protocol_error"
    """x.5.x: the host and we do not understand each other."""
    UNSUPPORTED = "unsupported"
    """x.3.3, x.6.7 to x.6.9: the host lacks what the message needs, such as SMTPUTF8."""
    ROUTING_LOOP = "routing_loop"
    """x.4.6."""
    NO_ANSWER = "no_answer"
    """x.4.1: no connection could be opened."""
    CONNECTION_LOST = "connection_lost"
    """x.4.2: the connection broke."""
    DNS_FAILURE = "dns_failure"
    """x.4.3, x.4.4: the DNS, or another directory, did not answer."""
    SYSTEM_FAILURE = "system_failure"
    """x.3.x: a fault of the destination's system."""
    EXPIRED = "expired"
    """x.4.7: retried until the end of its lifetime. The reason gives the last failure."""
    OTHER = "other"
    """x.0.0, x.2.0: no rule gives a more specific class."""

    @property
    def bounce_type(self) -> BounceType:
        return _TYPES.get(self, "soft")


_TYPES: dict[BounceClass, BounceType] = {
    BounceClass.BAD_MAILBOX: "hard",
    BounceClass.BAD_DOMAIN: "hard",
    BounceClass.MAILBOX_DISABLED: "hard",
    BounceClass.BAD_SENDER: "block",
    BounceClass.BLOCKLISTED: "block",
    BounceClass.AUTHENTICATION: "block",
    BounceClass.SOURCE_DNS: "block",
    BounceClass.SPAM: "block",
    BounceClass.UNSAFE_CONTENT: "block",
    BounceClass.BAD_CONTENT: "block",
    BounceClass.POLICY: "block",
    BounceClass.RELAYING_DENIED: "block",
    BounceClass.CREDENTIALS: "block",
    BounceClass.TLS_FAILURE: "block",
}
