"""What prose says: ``phrases.toml``, compiled once. The phrases are those of programs and providers, in the languages
that they write in; the first rule that matches wins."""

from enum import StrEnum
from importlib import resources

import msgspec
from msgspec import Struct


class Meaning(StrEnum):
    COMPLAINT = "complaint"
    AUTO_REPLY = "auto_reply"
    CHALLENGE = "challenge"
    """A request to confirm that a person sent the message."""
    DELAYED = "delayed"
    FAILED = "failed"


class Place(StrEnum):
    SUBJECT = "subject"
    TEXT = "text"


class PhraseRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    meaning: Meaning
    where: Place
    says: tuple[str, ...]
    """In lower case, with single spaces. One that begins with "^" stands at the beginning."""
    source: str
    """The programs or providers that say so."""


class Reason(Struct, frozen=True, forbid_unknown_fields=True):
    """A reason in words, where a report has neither a code nor a status; English ones are in bounce_rules.toml."""

    status: str
    says: tuple[str, ...]


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    returned: tuple[str, ...]
    """Beginnings of lines, in lower case, after which a text returns our message."""
    rule: tuple[PhraseRule, ...]
    reason: tuple[Reason, ...]


class Said(Struct, frozen=True):
    """A rule that matched, and its phrase."""

    rule: PhraseRule
    phrase: str


EXAMINED_CHARS = 16_384


def said(text: str, where: Place, *meanings: Meaning) -> Said | None:
    """The first rule with one of these meanings that the text matches."""
    plain = _normalised(text)
    for rule in RULES:
        if rule.where is where and rule.meaning in meanings:
            for phrase in rule.says:
                if plain.startswith(phrase[1:]) if phrase[0] == "^" else phrase in plain:
                    return Said(rule, phrase.lstrip("^"))
    return None


def reason_in(text: str) -> str:
    """The status that a reason in words means (RFC 3463); "" when none is known."""
    plain = _normalised(text)
    return next((reason.status for reason in REASONS for phrase in reason.says if phrase in plain), "")


def without_returned(text: str) -> str:
    """The text before what it returns of our message."""
    begin = 0
    for line in text.split("\n"):
        if line.strip(" -=*_>\t").lower().startswith(RETURNED_AFTER):
            return text[:begin]
        begin += len(line) + 1
    return text


def _normalised(text: str) -> str:
    return " ".join(text[:EXAMINED_CHARS].lower().replace("\u2019", "'").split())


_file = msgspec.toml.decode(
    resources.files("cluster.mail_in").joinpath("phrases.toml").read_text(encoding="utf-8"), type=_File
)
RULES = _file.rule
REASONS = _file.reason
RETURNED_AFTER = _file.returned
