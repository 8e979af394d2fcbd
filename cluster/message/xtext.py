"""xtext, the encoding of values in SMTP parameters (RFC 3461 §4). Pure."""

import re

_PLAIN = re.compile(r"[!-*,-<>-~]*", re.ASCII)
"""Text that needs no encoding."""
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*", re.ASCII)
_CODED = re.compile(r"\+([0-9A-F]{2})")


def is_xtext(text: str) -> bool:
    return _XTEXT.fullmatch(text) is not None


def encoded(text: str) -> bytes:
    """The text in xtext."""
    if _PLAIN.fullmatch(text):
        return text.encode("ascii")
    return b"".join(
        b"%c" % octet if 33 <= octet <= 126 and octet not in b"+=" else b"+%02X" % octet for octet in text.encode()
    )


def decoded(text: str) -> str:
    """What xtext stands for. Octets outside ASCII, which it may not have, are taken for Latin-1."""
    return _CODED.sub(lambda found: chr(int(found[1], 16)), text)
