"""Enhanced status codes (RFC 3463) in the text of replies."""

import re

_ENHANCED = re.compile(r"[2-5][0-9]{2}[ -]([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9.])")


def enhanced_code(reply: str) -> str | None:
    """The code of a reply as received ("550-5.1.1 No such user"), such as "5.1.1"; None when the peer gave none."""
    found = _ENHANCED.match(reply)
    return found[1] if found else None
