"""DMARC policies (RFC 7489): which record applies to a domain, and what is wrong with it. Pure."""

from collections.abc import Sequence

from cluster.tenancy.domains.key_records import Malformed, tags

SUGGESTION = "v=DMARC1; p=none"
"""For a domain without a policy: it changes nothing, and receivers that require a policy find one."""
_POLICIES = ("none", "quarantine", "reject")


def policies(texts: Sequence[str]) -> list[str]:
    """The DMARC records among the TXT records of a name (RFC 7489 §6.6.3)."""
    return [text for text in texts if text.replace(" ", "").startswith("v=DMARC1")]


def fault(text: str) -> str | None:
    """What is wrong with a record; None when receivers can follow it."""
    try:
        record = tags(text)
    except Malformed as error:
        return error.reason
    if record.get("v") != "DMARC1":
        return "v= must be DMARC1"
    if record.get("p", "").lower() not in _POLICIES:
        return "p= must be none, quarantine or reject"
    if record.get("adkim", "r").lower() not in ("r", "s") or record.get("aspf", "r").lower() not in ("r", "s"):
        return "adkim= and aspf= must be r or s"
    return None
