"""Why mail is refused: the classes of refusals and failures, and the type of bounce that each makes.

The classes group the codes of the IANA registry of enhanced status codes (RFC 5248; the codes themselves are in RFC
3463, 4954, 6531, 6710, 7293, 7372, 7505, 8617, 8689 …) by what a sender can do about them. The type follows from the
class, so no rule can call a full mailbox a bad address.
"""

from enum import StrEnum
from typing import Literal

BounceType = Literal["hard", "soft", "block"]
"""hard: the address is bad, never write to it again. soft: it may take the next message. block: the destination refuses
us, or the content, by policy."""


class BounceClass(StrEnum):
    BAD_MAILBOX = "bad_mailbox"
    """x.1.1, x.1.3, x.1.4, x.7.17: there is no such mailbox, or it has become another's."""
    BAD_DOMAIN = "bad_domain"
    """x.1.2, x.1.10, x.7.18: there is no such domain, it takes no mail, or it has become another's."""
    BAD_SENDER = "bad_sender"
    """x.1.7, x.1.8, x.7.27: the envelope's sender is not acceptable, or could not receive a bounce."""
    MAILBOX_FULL = "mailbox_full"
    """x.2.2."""
    MAILBOX_DISABLED = "mailbox_disabled"
    """x.2.1, x.1.6, x.7.13: the mailbox exists, and takes no mail any more."""
    MESSAGE_TOO_LARGE = "message_too_large"
    """x.2.3, x.3.4, x.7.16."""
    TOO_MANY_RECIPIENTS = "too_many_recipients"
    """x.5.3: in one transaction. The others may be sent in another."""
    GREYLISTED = "greylisted"
    """RFC 6647: the first attempt is always refused. The registry has no code for it; 4.2.0 and 4.7.1 are common."""
    RATE_LIMITED = "rate_limited"
    """x.4.5, x.7.28: too much, too fast, or over too many connections."""
    BLOCKLISTED = "blocklisted"
    """x.7.1 in the main: our address or domain is on a list, or has a bad reputation."""
    AUTHENTICATION = "authentication"
    """x.7.20 to x.7.24, x.7.26, x.7.29 (RFC 7372, RFC 8617): SPF, DKIM, DMARC or ARC did not pass."""
    SOURCE_DNS = "source_dns"
    """x.7.25: our address has no reverse name, or EHLO and the DNS do not agree."""
    SPAM = "spam"
    """x.7.1 in the main: this message is taken for spam."""
    UNSAFE_CONTENT = "unsafe_content"
    """x.7.1 in the main: a virus, or an attachment of a prohibited kind."""
    BAD_CONTENT = "bad_content"
    """x.6.x: the message is not as RFC 5322 and MIME want it, or cannot be converted."""
    POLICY = "policy"
    """x.7.x without more: we are not wanted."""
    RELAYING_DENIED = "relaying_denied"
    """The host does not take mail for this domain from us."""
    CREDENTIALS = "credentials"
    """x.7.8, x.7.9, x.7.11, x.7.12, x.7.14: SMTP AUTH (RFC 4954) is asked for, or has failed."""
    TLS_FAILURE = "tls_failure"
    """x.7.10, x.7.30: encryption is asked for, or has failed."""
    PROTOCOL_ERROR = "protocol_error"
    """x.5.x: we and the host do not understand each other."""
    UNSUPPORTED = "unsupported"
    """x.3.3, x.6.7 to x.6.9: the host lacks what the message needs, such as SMTPUTF8."""
    ROUTING_LOOP = "routing_loop"
    """x.4.6."""
    NO_ANSWER = "no_answer"
    """x.4.1: there was no connection."""
    CONNECTION_LOST = "connection_lost"
    """x.4.2: there was one, and it broke."""
    DNS_FAILURE = "dns_failure"
    """x.4.3, x.4.4: the DNS, or another directory, gave no answer."""
    SYSTEM_FAILURE = "system_failure"
    """x.3.x: the destination's own trouble."""
    EXPIRED = "expired"
    """x.4.7: tried to the end of its lifetime. The reason tells the last failure."""
    OTHER = "other"
    """x.0.0, x.2.0: none of the rules knows better."""

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
