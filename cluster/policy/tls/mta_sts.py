"""MTA-STS (RFC 8461): what a domain's TXT record and policy file say, and which hosts the policy allows.

Pure: texts in, values out. ``cluster/lookup/mta_sts.py`` fetches and caches the policies.
"""

import re
from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

MAX_POLICY_BYTES = 64 * 1024
"""RFC 8461 §3.3 recommends this limit."""
MAX_AGE_S = 31_557_600
"""RFC 8461 §3.2: a year."""
MAX_MX = 100
"""Far more than any domain lists. The patterns are part of a key that is hashed for every message."""

# RFC 8461 §3.1: sts-id = 1*32(ALPHA / DIGIT); other fields have values without spaces, = and ;.
_RECORD_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_FIELD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[!-:<>-~]+")
# RFC 8461 §3.2: sts-policy-mx-value = ["*."] Domain.
_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_MX = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*", re.IGNORECASE)
_MAX_AGE = re.compile(r"[0-9]{1,10}")


class StsMode(StrEnum):
    NONE = "none"
    TESTING = "testing"
    """No host is rejected; failures are counted for the report."""
    ENFORCE = "enforce"


class StsPolicy(Struct, frozen=True):
    """A policy file (RFC 8461 §3.2)."""

    mode: StsMode
    mx: tuple[str, ...]
    """Patterns in lower case, sorted and without duplicates, so that equivalent policies are equal."""
    max_age_s: int

    def lines(self) -> tuple[str, ...]:
        """The lines of the policy as a report quotes them (RFC 8460 §4.4)."""
        return ("version: STSv1", f"mode: {self.mode}", *(f"mx: {x}" for x in self.mx), f"max_age: {self.max_age_s}")


class InvalidPolicy(Struct, frozen=True):
    """Why a policy file is invalid."""

    reason: str


def record_id(texts: Sequence[str]) -> str | None:
    """The policy's id in the TXT records of _mta-sts.DOMAIN; None when they announce no policy (RFC 8461 §3.1)."""
    records = [text for text in texts if text.startswith("v=STSv1;")]
    if len(records) != 1:
        return None
    fields = [field.strip(" \t") for field in records[0].split(";")[1:]]
    if fields and not fields[-1]:
        fields.pop()  # the final delimiter is optional, and usually present
    if not all(_FIELD.fullmatch(field) for field in fields):
        return None
    ids = [field.removeprefix("id=") for field in fields if field.startswith("id=")]
    return ids[0] if ids and _RECORD_ID.fullmatch(ids[0]) else None


def parse_policy(text: str) -> StsPolicy | InvalidPolicy:
    """A policy file (RFC 8461 §3.2): unknown fields are ignored; of a repeated field other than mx, the first
    counts."""
    first: dict[str, str] = {}
    patterns: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line.strip(" \t"):
            continue
        key, colon, value = line.partition(":")
        value = value.strip(" \t")
        if not colon:
            return InvalidPolicy("a line is not a field")
        if key == "mx":
            patterns.append(value)
        else:
            first.setdefault(key, value)
    if first.get("version") != "STSv1":
        return InvalidPolicy("not of version STSv1")
    if first.get("mode") not in list(StsMode):
        return InvalidPolicy("no known mode")
    if not _MAX_AGE.fullmatch(first.get("max_age", "")):
        return InvalidPolicy("no max_age")
    if not all(_MX.fullmatch(pattern) for pattern in patterns):
        return InvalidPolicy("an mx is not the pattern of a host")
    if len(patterns) > MAX_MX:
        return InvalidPolicy(f"more than {MAX_MX} mx")
    mode = StsMode(first["mode"])
    if not patterns and mode is not StsMode.NONE:
        return InvalidPolicy("no mx")
    mx = tuple(sorted({pattern.lower() for pattern in patterns}))
    return StsPolicy(mode, mx, min(int(first["max_age"]), MAX_AGE_S))


def allows(patterns: Sequence[str], host: str) -> bool:
    """Whether a pattern matches the host; a leading * stands for exactly one label (RFC 8461 §4.1)."""
    name = host.removesuffix(".").lower()
    parent = name.partition(".")[2]
    return any(parent == pattern[2:] if pattern.startswith("*.") else name == pattern for pattern in patterns)
