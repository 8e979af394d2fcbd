"""Text of strangers, made safe to show: in a terminal, in a log, in JSON that is printed, on a page.

Control characters, escape sequences, the marks that turn the direction of writing (U+202A to U+202E, U+2066 to U+2069)
and all else that shows nothing of its own are shown by their numbers, never performed.
"""

import json
import unicodedata
from typing import Any

_PAGE_KEEPS = frozenset("\n\t\u200c\u200d")


def printable(text: str) -> str:
    """On one line, with such characters as \\x1b, \\u202e, \\U000e0041."""
    if text.isprintable():
        return text
    return "".join(c if _shows(c) else _number(c) for c in text)


def printable_lines(text: str) -> str:
    """For a page: lines and tabs stay, and so do the two joiners (U+200C, U+200D), which turn nothing and which emoji
    and some scripts are written with."""
    if text.isprintable():
        return text
    return "".join(c if c in _PAGE_KEEPS or _shows(c) else _number(c) for c in text.replace("\r\n", "\n"))


def printable_json(value: Any) -> str:
    """On one line, with the same value when it is read again: such characters can only be inside its strings."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(c if _shows(c) else json.dumps(c)[1:-1] for c in text)


def _shows(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"  # a space, of whatever width


def _number(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
