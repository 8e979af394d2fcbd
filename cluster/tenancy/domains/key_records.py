"""DKIM key records (RFC 6376 §3.6.1, RFC 8463 §4): reading one, and what makes it unfit for a key. Pure."""

import re
from base64 import b64decode
from collections.abc import Mapping

from cluster.tenancy.domains.findings import said

_TAG = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*)\s*=([^;]*)", re.ASCII)
_FOLDING = re.compile(r"[ \t\r\n]+")


class Malformed(Exception):
    """The text is not a key record; the message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def tags(text: str) -> Mapping[str, str]:
    """The tag list of a record (RFC 6376 §3.2): values by name. Raises Malformed."""
    found: dict[str, str] = {}
    parts = text.split(";")
    if not parts[-1].strip():
        parts.pop()
    for part in parts:
        match = _TAG.fullmatch(part)
        if match is None:
            raise Malformed(f"it is not a list of tag=value: {said(part.strip(), 60)!r}")
        name, value = match[1], match[2].strip()
        if name in found:
            raise Malformed(f"it has the tag {name}= twice")
        if name == "v" and found:
            raise Malformed("v= is not its first tag")
        found[name] = value
    return found


def fault(text: str, algorithm: str, public_key: str) -> str | None:
    """Why a record does not publish this key; None when it does. ``algorithm``: "rsa" or "ed25519"; ``public_key``:
    the expected ``p=`` value."""
    try:
        record = tags(text)
        return _fault(record, algorithm, public_key)
    except Malformed as error:
        return error.reason


def _fault(record: Mapping[str, str], algorithm: str, public_key: str) -> str | None:
    if record.get("v", "DKIM1") != "DKIM1":
        return f"v= is {said(record['v'], 40)!r} and must be DKIM1"
    if "p" not in record:
        return "it has no p=, the key"
    if not record["p"]:
        return "p= is empty: the key is revoked"
    if (kind := record.get("k", "rsa").lower()) != algorithm:
        return f"k= says {said(kind, 40)!r}, and the key is {algorithm}"
    if "h" in record and "sha256" not in _listed(record["h"]):
        return "h= does not allow sha256"
    if "s" in record and not _listed(record["s"]) & {"*", "email"}:
        return "s= does not allow mail"
    if "y" in _listed(record.get("t", "")):
        return "t=y says that the key is being tested: receivers then treat mail as unsigned"
    if _key(record["p"]) != b64decode(public_key):
        return "p= is another key"
    return None


def _key(text: str) -> bytes:
    """Raises Malformed."""
    try:
        return b64decode(_FOLDING.sub("", text), validate=True)
    except ValueError:  # binascii.Error is one, and so is the fault of a text that is not ASCII
        raise Malformed("p= is not base64: characters are missing or were added") from None


def _listed(value: str) -> set[str]:
    """The items of a list with colons, in lower case."""
    return {item.strip().lower() for item in value.split(":")}
