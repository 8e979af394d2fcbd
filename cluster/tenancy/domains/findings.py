"""What was found in the DNS for each record of a sender domain, and what follows from all of it. Pure.

The journal stores the findings of the last look as JSON.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct

MOST_SHOWN = 5
"""Found records that a finding keeps, each with at most ``LONGEST_SHOWN`` characters: their owner decides how many
there are."""
LONGEST_SHOWN = 600


class Status(StrEnum):
    """The state of one record."""

    UNKNOWN = "unknown"
    """It was not looked up yet."""
    VALID = "valid"
    MISSING = "missing"
    WRONG = "wrong"
    WILDCARD = "wildcard"
    """A name made up at random has the same record, so it is not a record of this name."""
    NOT_LOOKED_UP = "not_looked_up"
    """The DNS did not answer. It changes no state."""


class Kind(StrEnum):
    """What a record is for."""

    DKIM = "dkim"
    MX = "mx"
    SPF = "spf"
    DMARC = "dmarc"


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One record: what was expected and what was found."""

    kind: Kind
    host: str
    status: Status
    expected: str
    found: tuple[str, ...] = ()
    reason: str = ""
    """Why it is not valid. Of a valid one: a problem that its owner cannot mend; "" for none."""
    selector: str = ""
    """Of a DKIM key."""

    @property
    def is_bad(self) -> bool:
        """Whether the DNS answered, and not with a valid record."""
        return self.status in (Status.MISSING, Status.WRONG, Status.WILDCARD)


class KeyFinding(Struct, frozen=True):
    """A key of the domain with the finding of its record."""

    algorithm: str
    is_active: bool
    finding: Finding


class Outcome(Struct, frozen=True):
    """What a look at all records says of a domain."""

    is_right: bool
    """All that mail needs is valid."""
    is_wrong: bool
    """Something that mail needs is missing or wrong."""
    activated: tuple[str, ...] = ()
    """Selectors of pending keys whose records are valid: these keys may sign."""


def outcome(keys: Sequence[KeyFinding], return_path: Sequence[Finding]) -> Outcome:
    """``keys``: those that sign and those that wait for their records. ``return_path``: its MX and SPF records.

    Mail needs the return path, an RSA key, and the records of all keys that sign. A domain without an active key yet
    may do without the Ed25519 record, but not publish a wrong one. A pending key beside an active one of its algorithm
    is a rotation under way: mail does not need it.
    """
    activated = tuple(key.finding.selector for key in keys if not key.is_active and key.finding.status is Status.VALID)
    signing = [key.finding for key in keys if key.is_active]
    replaced = {key.algorithm for key in keys if key.is_active}
    first = [key for key in keys if key.algorithm not in replaced]
    needed = [*signing, *(key.finding for key in first if key.algorithm == "rsa"), *return_path]
    optional = [key.finding for key in first if key.algorithm != "rsa"]
    has_rsa = any(key.algorithm == "rsa" for key in keys)
    is_right = (
        has_rsa
        and all(finding.status is Status.VALID for finding in needed)
        and all(finding.status in (Status.VALID, Status.MISSING) for finding in optional)
    )
    return Outcome(is_right, any(finding.is_bad for finding in needed), activated)


def shown(texts: Sequence[str]) -> tuple[str, ...]:
    """Found records as findings keep them. Postgres stores no NUL."""
    texts = [text.replace("\0", "\ufffd") for text in texts]
    kept = tuple(text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…" for text in texts[:MOST_SHOWN])
    more = len(texts) - MOST_SHOWN
    return (*kept, f"and {more} more") if more > 0 else kept


def said(text: str, longest: int = 120) -> str:
    """A text of the DNS within a sentence: on one line, without what is not printable, and cut."""
    printed = "".join(character if character.isprintable() else "?" for character in text[: longest + 1])
    return f"{printed[:longest]}…" if len(text) > longest else printed


encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(tuple[Finding, ...])


def decode(stored: str | bytes | None) -> tuple[Finding, ...]:
    """The findings as the journal stores them; none for None."""
    return _decoder.decode(stored) if stored else ()
