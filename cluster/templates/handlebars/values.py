"""JavaScript's values in Python's terms, as handlebars.js reads and prints them.

A value is what JSON decodes to, or ``UNDEFINED``. Only what JSON holds can be reached: never an attribute of a Python
object. handlebars.js is the judge, with three exceptions that serve a sender better: integers of any size print
exactly, the length of a text counts characters and not UTF-16's units, and an object prints as ``[object Object]``
whatever its keys are.
"""

import re
from collections.abc import Mapping, Sequence
from math import isinf
from typing import Any

from cluster.templates.handlebars.bounds import Budget
from cluster.templates.handlebars.errors import TooMuch
from cluster.templates.handlebars.tree import UNDEFINED, Undefined

Value = Mapping[str, Any] | Sequence[Any] | str | int | float | bool | Undefined | None
"""A dict or a list of JSON (or a tuple), a scalar, null (None), or ``UNDEFINED``."""

CHARACTERS_A_STEP = 256
"""Work on a long text of data costs a step for as many characters."""

_LONGEST_INTEGER = 4_300
"""Digits. CPython reads and prints no longer ones (``sys.set_int_max_str_digits``): it takes quadratic time."""
_TOO_GREAT = 10**_LONGEST_INTEGER
_TOO_SMALL = -_TOO_GREAT

_ESCAPED = re.compile("[&<>\"'`=]").search
_NUMBER = re.compile(r"\s*([+-]?)([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", re.ASCII).fullmatch
_INTEGER = re.compile("[+-]?[0-9]+", re.ASCII).fullmatch
_INDEX = re.compile("0|[1-9][0-9]{0,9}", re.ASCII).fullmatch
_MOST_INDEX = 2**32 - 2  # ECMA-262 §6.1.7: above it, a key is not an array index


def truth(value: Value) -> bool:
    """Whether ``#if`` takes its first branch: not for false, 0, NaN, "", null, undefined and an empty array. An empty
    object is true."""
    if isinstance(value, dict):
        return True
    if value.__class__ is float:
        return value == value and value != 0
    return value is not UNDEFINED and bool(value)


def is_empty(value: Value) -> bool:
    """Whether a value is empty as ``#with`` means it. Unlike ``truth``, 0 is something."""
    return not truth(value) and not (value == 0 and value is not False)


def child(value: Value, name: str) -> Value:
    """The property ``name`` that the value itself has, else ``UNDEFINED``. What null and undefined have is themselves,
    as in handlebars.js."""
    if isinstance(value, dict):
        found: Value = value.get(name, UNDEFINED)
        return found
    if value is None:
        return None
    if isinstance(value, (list, tuple, str)):
        if name == "length":
            return len(value)
        if _INDEX(name) and (index := int(name)) < len(value):
            return value[index]
    return UNDEFINED


def keys(value: Mapping[str, Any]) -> list[str]:
    """An object's keys in JavaScript's order: array indices by number, then the others as they were written."""
    indices = [key for key in value if key[:1].isdigit() and _INDEX(key) and int(key) <= _MOST_INDEX]
    if not indices:
        return list(value)
    indices.sort(key=int)
    first = set(indices)
    return indices + [key for key in value if key not in first]


def printed(value: Value, budget: Budget) -> str:
    """What a tag prints, not escaped. Null and undefined print nothing. Each element of an array is a step, and so are
    CHARACTERS_A_STEP of what it is joined to. Raises TooMuch."""
    if value.__class__ is str:
        return value
    if isinstance(value, (list, tuple)):
        return _joined(value, budget)
    return _scalar(value)


def property_name(value: Value, budget: Budget) -> str:
    """The name of the property that a computed value names, as in ``lookup``. Raises TooMuch."""
    if value is None:
        return "null"
    return "undefined" if value is UNDEFINED else printed(value, budget)


def _joined(value: Sequence[Any], budget: Budget) -> str:
    """As ``Array.prototype.join`` joins by commas, arrays in it likewise. Without recursion: data may be deep."""
    budget.step(len(value))
    texts: list[str] = []
    waiting = [iter(value)]
    separator = ""
    while waiting:
        for element in waiting[-1]:
            texts.append(separator)
            if isinstance(element, (list, tuple)):
                budget.step(len(element))
                waiting.append(iter(element))
                separator = ""
                break
            texts.append(_scalar(element))
            separator = ","
        else:
            waiting.pop()
            separator = ","
    text = "".join(texts)
    budget.step(len(text) // CHARACTERS_A_STEP)
    return text


def _scalar(value: Value) -> str:
    """The text of what is not an array."""
    if isinstance(value, str):
        return value
    if value is None or value is UNDEFINED:
        return ""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        if _TOO_SMALL < value < _TOO_GREAT:
            return str(value)
        raise TooMuch(f"A number has more than {_LONGEST_INTEGER:,} digits.")
    if isinstance(value, float):
        return float_text(value)
    return "[object Object]"


def float_text(value: float) -> str:
    """ECMA-262 §6.1.6.1.20, Number::toString. Python's repr has the same digits: the fewest that read back as the same
    number."""
    if value != value:
        return "NaN"
    if isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    sign = "-" if value < 0 else ""
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+d}"


def escaped(text: str) -> str:
    """The text with the seven characters escaped that handlebars.js escapes in html."""
    if _ESCAPED(text) is None:
        return text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return text.replace("'", "&#x27;").replace("`", "&#x60;").replace("=", "&#x3D;")


def number(value: Value, budget: Budget) -> int | float | None:
    """A value as a number: a number, a boolean (0 or 1), or a text that is written as a decimal number. None for every
    other. Integers are exact. Raises TooMuch."""
    if isinstance(value, (int, float)):
        return None if value != value else value
    if not isinstance(value, str):
        return None
    budget.step(len(value) // CHARACTERS_A_STEP)
    if not _NUMBER(value):
        return None
    text = value.strip()
    return int(text) if len(text) <= _LONGEST_INTEGER and _INTEGER(text) else float(text)


def equal(left: Value, right: Value, budget: Budget) -> bool:
    """Whether two values are the same, whatever their types: ``3`` equals ``"3"`` and ``"3.0"``, ``true`` equals
    ``"true"`` and 1, null equals what is missing. Two texts are compared as texts. Arrays and objects equal only
    themselves, as in JavaScript. Raises TooMuch."""
    if left is right:
        return not isinstance(left, float) or left == left  # NaN does not equal itself
    if isinstance(left, str) and isinstance(right, str):
        budget.step(min(len(left), len(right)) // CHARACTERS_A_STEP)
        return left == right
    if left is None or left is UNDEFINED or right is None or right is UNDEFINED:
        return (left is None or left is UNDEFINED) and (right is None or right is UNDEFINED)
    for one, other in ((left, right), (right, left)):
        if isinstance(one, bool) and isinstance(other, str):
            return other == _scalar(one)
    one_number, other_number = number(left, budget), number(right, budget)
    return one_number is not None and one_number == other_number


def compare(left: Value, right: Value, budget: Budget) -> int | None:
    """-1, 0 or 1 as ``left`` is less than, equal to or greater than ``right``: as numbers where both are numbers or
    written as such, else, where both are texts, by their characters. None where they have no order. Raises TooMuch."""
    one_number, other_number = number(left, budget), number(right, budget)
    if one_number is not None and other_number is not None:
        return (one_number > other_number) - (one_number < other_number)
    if isinstance(left, str) and isinstance(right, str):
        budget.step(min(len(left), len(right)) // CHARACTERS_A_STEP)
        return (left > right) - (left < right)
    return None
