"""What checking a request finds besides its faults. Pure."""

from urllib.parse import quote

from msgspec import Struct, field

MOST_NAMED = 20
"""Paths that are named of what a request says in vain."""
LONGEST_PATH = 200


class Notes(Struct):
    """``ignored``: paths of what is accepted and has no effect, the first of them; ``more``: how many others there are.
    ``senders``: addresses in Sender fields, whose domains must be verified like those of From, each with its path."""

    ignored: list[str] = field(default_factory=list)
    more: int = 0
    senders: list[tuple[str, str]] = field(default_factory=list)

    def ignore(self, path: str) -> None:
        if len(self.ignored) < MOST_NAMED:
            self.ignored.append(path)
        else:
            self.more += 1

    def header(self) -> str:
        """The value of X-Postray-Ignored; "" where nothing was said in vain."""
        if not self.ignored:
            return ""
        paths = [quote(path[:LONGEST_PATH], safe="[]") for path in self.ignored]
        return ",".join([*paths, f"+{self.more}"] if self.more else paths)
