"""From a body's bytes to its type, and an error for every way in which that fails. Pure."""

import re
from typing import TypeVar

import msgspec

from api.refusals import Fault, Invalid, Refusal, Unparseable

T = TypeVar("T")

# msgspec reports half a surrogate pair as malformed JSON; it is better named (RFC 8259 §8.2).
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The body in its type. Raises Unparseable, and Invalid for text that cannot be stored."""
    problem: Refusal
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        problem = Unparseable(str(error), "type_error")
    except msgspec.DecodeError as error:
        problem = Unparseable(str(error), "json_invalid")
        if _LONE_SURROGATE.search(body):
            problem = Invalid([Fault("The body holds half of a UTF-16 surrogate pair, which is no character")])
    except UnicodeDecodeError:
        problem = Unparseable("The body is not UTF-8", "json_invalid")
    except RecursionError:
        problem = Unparseable("The body is nested too deeply", "json_invalid")
    raise problem
