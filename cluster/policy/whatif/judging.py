"""What other bounce rules say of a recorded reply.

The stage of a reply is not recorded, and rules may ask for it. It is taken to be one at which this release's rules say
what was recorded; so a reply counts as judged otherwise only where rules say something else, not where a stage was
guessed wrong.
"""

from functools import lru_cache

from msgspec import Struct

from cluster.policy.replies.bounce_class import BounceClass
from cluster.policy.replies.bounce_rules import EXAMINED_CHARS, RULES, BounceRules
from cluster.policy.replies.enhanced import enhanced_code
from cluster.policy.replies.stage import Stage
from cluster.policy.replies.verdict import Judgement, judge, judge_parting
from cluster.policy.whatif.recorded import Reply

REMEMBERED = 10_000
"""Replies whose judgements are remembered: hosts say the same over and over."""


class Judged(Struct, frozen=True):
    """``bounce_class``: "" where it was not recorded."""

    judgement: Judgement
    bounce_class: str

    def __str__(self) -> str:
        return f"{self.judgement} as {self.bounce_class or 'unknown'}"


class _Place(Struct, frozen=True):
    """Where in a session a reply may have come: in answer to a command, or as the end of the connection."""

    stage: Stage
    is_parting: bool


_PLACES = (
    *(_Place(stage, False) for stage in (Stage.RCPT, Stage.END_OF_DATA, Stage.MAIL, Stage.DATA)),
    *(_Place(stage, True) for stage in (Stage.GREETING, Stage.EHLO, Stage.MAIL, Stage.RCPT, Stage.END_OF_DATA)),
    *(_Place(stage, True) for stage in (Stage.IDLE, Stage.STARTTLS, Stage.AUTH)),
)
"""The likeliest first."""


def recorded(reply: Reply) -> Judged:
    """What was made of it then. One that ended a delivery with its lifetime was deferred for a reason that is not
    recorded."""
    if reply.has_expired:
        return Judged(Judgement.DEFERRED, "")
    judgement = Judgement.DEFERRED if reply.event == "deferred" else Judgement.BOUNCED
    return Judged(judgement, reply.bounce_class)


class Judge:
    """Judges recorded replies with some rules."""

    def __init__(self, rules: BounceRules = RULES) -> None:
        self._rules = rules
        self._judged = lru_cache(maxsize=REMEMBERED)(self._judge)

    def __call__(self, reply: Reply) -> Judged:
        """What these rules make of it. Without a reply there is nothing that rules could say."""
        was = recorded(reply)
        # What rules look at, and no more: a reply may have 256 KB, and the cache keeps what it is asked for.
        return self._judged(was, reply.code, reply.text[:EXAMINED_CHARS]) if 400 <= reply.code < 600 else was

    def _judge(self, was: Judged, code: int, text: str) -> Judged:
        enhanced = enhanced_code(text)
        first: _Place | None = None
        for place in _PLACES:
            found = _at(place, code, enhanced, text, RULES)
            if agree(found, was):
                return found if self._rules is RULES else _at(place, code, enhanced, text, self._rules)
            if first is None and found.judgement is was.judgement:
                first = place
        # The rules of then were others: as the likeliest place with the same judgement.
        return _at(first or _PLACES[0], code, enhanced, text, self._rules)


def agree(found: Judged, was: Judged) -> bool:
    """Whether a judgement is the recorded one, as far as that is known."""
    return found.judgement is was.judgement and (not was.bounce_class or found.bounce_class == was.bounce_class)


def _at(place: _Place, code: int, enhanced: str | None, text: str, rules: BounceRules) -> Judged:
    found = (judge_parting if place.is_parting else judge)(code, enhanced, text, place.stage, rules)
    return Judged(found.judgement, found.bounce_class or "")


def class_of(judged: Judged) -> BounceClass | None:
    """The class; None where it is not known, or is of a later release."""
    return BounceClass(judged.bounce_class) if judged.bounce_class in tuple(BounceClass) else None
