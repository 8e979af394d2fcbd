"""The rules that class a reply: read from ``bounce_rules.toml``, compiled once, the first that matches wins.

The text of a reply is chosen by the peer. So rules look for phrases, not for regular expressions: the time is bounded
by the text's length, of which only the beginning is looked at; and addresses are taken out first, as their owners
choose them, too ("550 <spam@example.com>: unknown user" is no matter of spam).
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
"""RFC 5321 §4.5.3.1.5 promises lines of 512; the longest explanations in use have about 1000."""

# What stands before the text in every line of a reply: its code and its status code.
_LEAD = re.compile(r"^[2-5][0-9]{2}(?:[ -](?:[245]\.[0-9]{1,3}\.[0-9]{1,3}(?= ))?)?", re.MULTILINE)


class Scope(StrEnum):
    """How far it reaches what a reply says: what else would be told the same now. Each holds those before it."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    """All recipients of the message there."""
    SESSION = "session"
    """This connection."""
    HOST = "host"
    """This mail exchanger."""
    SITE = "site"
    """All of the site's hosts, for the source that was used."""


class BounceRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Matches a reply that fulfils every condition it has; a condition without values is always fulfilled."""

    name: str
    source: str
    """Where it can be read that replies mean this: a public address, or the section of an RFC."""
    bounce_class: BounceClass = field(name="class")
    codes: tuple[str, ...] = ()
    """Such as "550", or "45x"."""
    status: tuple[str, ...] = ()
    """RFC 3463, such as "5.7.1", "x.1.1" or "x.7.*"."""
    stages: tuple[Stage, ...] = ()
    says: tuple[str, ...] = ()
    """Phrases in lower case, one of which the text must hold; " * " in one stands for anything."""
    scope: Scope | None = None
    """None leaves it to the stage."""
    judgement: Literal["deferred"] | None = None
    """What a 5yz reply means all the same: that the next attempt may succeed."""


class BounceRules:
    def __init__(self, rules: Sequence[BounceRule]) -> None:
        self.rules = tuple(rules)
        self._phrases = {rule.name: tuple(tuple(says.split(" * ")) for says in rule.says) for rule in rules}
        # A site says the same to all: its few kinds of replies find their candidates at once. Bounded, as the codes
        # are the peer's to choose.
        self._candidates = lru_cache(maxsize=4096)(self._candidates_of)

    @classmethod
    def parse(cls, text: str) -> "BounceRules":
        """Raises ValueError (msgspec.ValidationError among them) for what is no file of rules."""
        return cls(msgspec.toml.decode(text, type=_File).rule)

    def first_match(self, code: int, enhanced: str | None, text: str, stage: Stage) -> BounceRule:
        """The last rule matches everything, so there is always one."""
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
    """The words of a reply in lower case, with single spaces between and around them; without codes and addresses."""
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
