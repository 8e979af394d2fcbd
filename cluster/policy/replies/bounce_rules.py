"""The rules that classify a reply: read from ``bounce_rules.toml``, compiled once; the first match wins.

The peer chooses the text of a reply. So rules contain phrases, not regular expressions: the time is bounded by the
text's length, of which only the beginning is examined. Addresses are removed first, because their owners choose them
("550 <spam@example.com>: unknown user" is not about spam).
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from importlib import resources
from typing import Literal

import msgspec
from msgspec import Struct, field

from cluster.policy.replies.bounce_class import BounceClass
from cluster.policy.replies.stage import Stage

EXAMINED_CHARS = 2048
"""RFC 5321 §4.5.3.1.5 limits a reply line to 512; the longest explanations in use have about 1000."""

# What precedes the text in every line of a reply: its reply code and enhanced status code.
_LEAD = re.compile(r"^[2-5][0-9]{2}(?:[ -](?:[245]\.[0-9]{1,3}\.[0-9]{1,3}(?= ))?)?", re.MULTILINE)


class ReplyScope(StrEnum):
    """How far a reply reaches: what else would get the same reply now. Each scope includes those before it.

    Up to SESSION nothing beyond this connection is affected. HOST and SITE decide more (``effects``).
    """

    RECIPIENT = "recipient"
    MESSAGE = "message"
    """All recipients of the message at this destination."""
    SESSION = "session"
    """This connection."""
    HOST = "host"
    """This mail exchanger."""
    SITE = "site"
    """All hosts of the site, for the source that was used."""


class BounceRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Matches a reply that meets all its conditions; a condition without values is always met."""

    name: str
    source: str
    """The evidence that replies mean this: a public URL, or the section of an RFC."""
    bounce_class: BounceClass = field(name="class")
    codes: tuple[str, ...] = ()
    """Such as "550", or "45x"."""
    status: tuple[str, ...] = ()
    """RFC 3463, such as "5.7.1", "x.1.1" or "x.7.*"."""
    stages: tuple[Stage, ...] = ()
    says: tuple[str, ...] = ()
    """Phrases in lower case; the text must contain one of them. " * " in a phrase stands for any text."""
    scope: ReplyScope | None = None
    """None leaves the scope to the stage."""
    judgement: Literal["deferred"] | None = None
    """"deferred" when a 5yz reply is transient after all: the next attempt may succeed."""


class BounceRules:
    """Ordered rules; the first match wins."""

    def __init__(self, rules: Sequence[BounceRule]) -> None:
        self.rules = tuple(rules)
        self._phrases = {rule.name: tuple(tuple(says.split(" * ")) for says in rule.says) for rule in rules}
        # A site answers with few kinds of replies, so the cache finds their candidates at once. It is bounded, as the
        # peer chooses the codes.
        self._candidates = lru_cache(maxsize=4096)(self._candidates_of)

    @classmethod
    def parse(cls, text: str) -> "BounceRules":
        """Raises ValueError (or its subclass msgspec.ValidationError) when ``text`` is not a valid file of rules."""
        return cls(msgspec.toml.decode(text, type=_File).rule)

    def first_match(self, code: int, enhanced: str | None, text: str, stage: Stage) -> BounceRule:
        """The first rule that matches. The last rule matches everything; raises LookupError when it does not."""
        said = normalised(text)
        for rule in self._candidates(code, enhanced, stage):
            if not rule.says:
                return rule
            for parts in self._phrases[rule.name]:
                if parts[0] in said and _holds(said, parts):
                    return rule
        raise LookupError("the last rule must match every reply")

    def _candidates_of(self, code: int, enhanced: str | None, stage: Stage) -> tuple[BounceRule, ...]:
        return tuple(rule for rule in self.rules if _concerns(rule, code, enhanced, stage))


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    rule: tuple[BounceRule, ...]


def normalised(text: str) -> str:
    """The words of a reply in lower case, without codes and addresses, with one space around each."""
    words = _LEAD.sub(" ", text[:EXAMINED_CHARS]).lower().replace("\u2019", "'").split()
    return f" {' '.join(word for word in words if '@' not in word)} "


def _holds(said: str, parts: tuple[str, ...]) -> bool:
    position = 0
    for part in parts:
        found = said.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return True


def _concerns(rule: BounceRule, code: int, enhanced: str | None, stage: Stage) -> bool:
    return (
        (not rule.stages or stage in rule.stages)
        and (not rule.codes or any(_is_like(str(code), like) for like in rule.codes))
        and (not rule.status or (enhanced is not None and any(_is_status(enhanced, like) for like in rule.status)))
    )


def _is_like(code: str, like: str) -> bool:
    return len(code) == len(like) and all(b in ("x", a) for a, b in zip(code, like, strict=True))


def _is_status(status: str, like: str) -> bool:
    numbers, likes = status.split("."), like.split(".")
    return len(numbers) == len(likes) and all(b in ("x", "*", a) for a, b in zip(numbers, likes, strict=True))


RULES = BounceRules.parse(
    resources.files("cluster.policy.replies").joinpath("bounce_rules.toml").read_text(encoding="utf-8")
)
