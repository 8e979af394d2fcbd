"""The legacy substitutions of a personalization: literal text for literal text. Pure."""

import re
from collections.abc import Mapping
from functools import lru_cache


def substitute(text: str, values: Mapping[str, str]) -> str:
    """``text`` with each key replaced by its value, in one pass: a value that holds a key is text, not another key.

    Of two keys that begin alike the longer is meant.
    """
    present = [key for key in values if key and key in text]
    if not present:
        return text
    if len(present) == 1:
        return text.replace(present[0], values[present[0]])
    return _any_of(tuple(present)).sub(lambda match: values[match[0]], text)


@lru_cache(maxsize=64)
def _any_of(keys: tuple[str, ...]) -> re.Pattern[str]:
    """A request's personalizations have the same keys, as a rule."""
    return re.compile("|".join(map(re.escape, sorted(keys, key=len, reverse=True))))
