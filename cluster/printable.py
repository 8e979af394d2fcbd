"""Makes untrusted text safe to show in a terminal, a log, printed JSON or a page.

Control characters, escape sequences, bidirectional controls (U+202A to U+202E, U+2066 to U+2069) and every other
character that is not printable are replaced by their numbers.
"""

import json
import unicodedata
from typing import Any

_PAGE_KEEPS = frozenset("\n\t\u200c\u200d")


def printable(text: str) -> str:
    """The text on one line, with unprintable characters as \\x1b, \\u202e, \\U000e0041."""
    if text.isprintable():
        return text
    return "".join(c if _shows(c) else _number(c) for c in text)


def printable_lines(text: str) -> str:
    """The text for a page. Line ends and tabs stay, and so do the two joiners (U+200C, U+200D), which emoji and some
    scripts need and which do not change the direction of text."""
    if text.isprintable():
        return text
    return "".join(c if c in _PAGE_KEEPS or _shows(c) else _number(c) for c in text.replace("\r\n", "\n"))


def printable_json(value: Any) -> str:
    """JSON on one line. It decodes to the same value, since unprintable characters occur only inside strings."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(c if _shows(c) else json.dumps(c)[1:-1] for c in text)


def _shows(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"  # a space of any width


def _number(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
