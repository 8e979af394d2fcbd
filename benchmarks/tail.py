"""Reading a growing log of JSON objects, one per line."""

from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

L = TypeVar("L")


class Tail(Generic[L]):
    """Reads each line once. A log that does not exist yet has no lines."""

    def __init__(self, path: Path, line: Any) -> None:
        """``line``: the type of a line, or the union of its types."""
        self._path = path
        self._position = 0
        self._decoder: msgspec.json.Decoder[L] = msgspec.json.Decoder(line)

    def take(self) -> list[L]:
        """The complete lines since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._position += len(whole)
        return self._decoder.decode_lines(whole)
