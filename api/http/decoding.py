"""Decodes a body's bytes to its type, with an error for each kind of failure. Pure."""

import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from api.http.choices import choices, listed
from api.http.places import half_pair, named, steps, written
from api.http.refusals import Fault, Invalid, Refusal, Unparseable

T = TypeVar("T")

_WRONG_KIND = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_NOT_LISTED = "Invalid enum value "
_OUT_OF_BOUNDS = re.compile(r"Expected `([^`]+)` (>=|<=) (-?[0-9]+)")
_WRONG_LENGTH = re.compile(r"Expected `(str|array)` of length (>=|<=) ([0-9]+)")
_KINDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
"""msgspec's names of JSON types → the usual names."""
_RELATIONS = {">=": "at least", "<=": "at most"}

# msgspec reports an unpaired surrogate as malformed JSON; the client gets a better message (RFC 8259 §8.2).
_HALF_PAIR = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
HALF_PAIR = "The text holds half of a UTF-16 surrogate pair, which is no character"


def decode(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """The decoded body. Raises Unparseable when it does not match its type, and Invalid for text that cannot be
    stored."""
    problem: Refusal
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        problem = _wrong_type(str(error), body, decoder.type)
    except msgspec.DecodeError as error:
        if body.startswith(BOM_UTF8) and not body.startswith(BOM_UTF8, len(BOM_UTF8)):
            return decode(decoder, body.removeprefix(BOM_UTF8))
        problem = Unparseable(str(error), "json_invalid")
        if _HALF_PAIR.search(body) and (place := half_pair(body)) is not None:
            problem = Invalid([Fault(HALF_PAIR, written(place))])
    except UnicodeDecodeError:
        problem = Unparseable("The body is not UTF-8", "json_invalid")
    except RecursionError:
        problem = Unparseable("The body is nested too deeply", "json_invalid")
    raise problem


def _wrong_type(said: str, body: bytes, type_: Any) -> Unparseable:
    """``said`` is msgspec's message, which may end in a path, such as ``at `$.personalizations[0].to```. ``type_`` is
    that of the body."""
    message, _, path = said.partition(" - at `$")
    place = steps(path.rstrip("`"))
    if wrong := _WRONG_KIND.fullmatch(message):
        place = named(place, wrong[2], body)
    return Unparseable(in_words(message, choices(type_, place)), "type_error", place)


def in_words(message: str, allowed: Sequence[str] = ()) -> str:
    """msgspec's message with the usual names of JSON types. ``allowed`` are the values that the type lists."""
    if message.startswith(_NOT_LISTED) and allowed:
        return f"Must be {listed(allowed)}"
    if wrong := _WRONG_KIND.fullmatch(message):
        wanted, got = wrong.groups()
        return f"Must be {_kinds(wanted)}, not {_KINDS.get(got, got)}"
    if beyond := _OUT_OF_BOUNDS.fullmatch(message):
        wanted, relation, bound = beyond.groups()
        return f"Must be {_kinds(wanted)}, {_RELATIONS[relation]} {bound}"
    if wrong := _WRONG_LENGTH.fullmatch(message):
        kind, relation, bound = wrong.groups()
        return f"{_RELATIONS[relation].capitalize()} {bound} {'characters' if kind == 'str' else 'values'}"
    return message


def _kinds(names: str) -> str:
    """msgspec's names, such as ``int | null``, as the usual ones."""
    return listed([_KINDS.get(name, name) for name in names.split(" | ")])
