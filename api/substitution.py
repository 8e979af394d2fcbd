"""The legacy substitutions of a personalization: literal text for literal text. Pure."""

import re
from collections.abc import Mapping


def substitute(text: str, values: Mapping[str, str]) -> str:
    """``text`` with each key replaced by its value, in one pass: a value that holds a key is text, not another key.

    Of two keys that begin alike the longer is meant.
    """
    keys = sorted((key for key in values if key), key=len, reverse=True)
    if not keys or not any(key in text for key in keys):
        return text
    return re.sub("|".join(map(re.escape, keys)), lambda match: values[match[0]], text)
