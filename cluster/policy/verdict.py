"""What a reply means: the one place that compares an SMTP reply code with anything (RFC 5321 §4.2, RFC 3463)."""

from enum import StrEnum
from typing import Literal

from msgspec import Struct

BounceType = Literal["hard", "soft", "block"]


class Judgement(StrEnum):
    """What becomes of the delivery."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    BOUNCED = "bounced"


class Verdict(Struct, frozen=True):
    """A judgement; ``bounce_type`` says of a bounce whether the address is bad (hard), the mailbox cannot take it
    now (soft), or the destination refuses us or the content by policy (block)."""

    judgement: Judgement
    bounce_type: BounceType | None = None


ACCEPTED = Verdict(Judgement.ACCEPTED)
DEFERRED = Verdict(Judgement.DEFERRED)

# RFC 3463 status codes, the subject and detail after the class; first match wins.
_BY_STATUS: tuple[tuple[str, BounceType], ...] = (
    ("1.8", "block"),  # bad sender's system address
    ("1.7", "block"),  # bad sender's mailbox address syntax
    ("1.", "hard"),  # bad destination address
    ("2.1", "hard"),  # mailbox disabled
    ("2.", "soft"),  # mailbox full, message too big for it
    ("3.", "soft"),  # mail system full, message too big for the system
    ("4.", "soft"),  # routing and network
    ("7.", "block"),  # security and policy
)
# Without a status code, by reply code (RFC 5321 §4.2.3).
_BY_CODE: dict[int, BounceType] = {550: "hard", 551: "hard", 552: "soft", 553: "hard", 554: "block", 571: "block"}


def judge(code: int, enhanced: str | None) -> Verdict:
    """The verdict on the reply that ended a recipient's transaction: its code, and its status code if it had one."""
    if 200 <= code < 300:
        return ACCEPTED
    if 500 <= code < 600:
        return Verdict(Judgement.BOUNCED, _bounce_type(code, enhanced))
    # 4yz, and anything that is no reply to a transaction: trying again cannot lose the message.
    return DEFERRED


def _bounce_type(code: int, enhanced: str | None) -> BounceType:
    if enhanced:
        detail = enhanced.partition(".")[2]
        for prefix, bounce_type in _BY_STATUS:
            if detail.startswith(prefix):
                return bounce_type
    return _BY_CODE.get(code, "soft")
