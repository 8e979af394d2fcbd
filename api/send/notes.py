"""The findings of a request's check that are not faults. Pure."""

from urllib.parse import quote

from msgspec import Struct, field

MOST_NAMED = 20
"""The most ignored paths that are listed."""
LONGEST_PATH = 200


class Notes(Struct):
    """``ignored`` has the first paths that are accepted and have no effect, ``more`` the number of the others.
    ``senders`` has the addresses in Sender fields with their paths; their domains must be verified like those of
    From."""

    ignored: list[str] = field(default_factory=list)
    more: int = 0
    senders: list[tuple[str, str]] = field(default_factory=list)

    def ignore(self, path: str) -> None:
        if len(self.ignored) < MOST_NAMED:
            self.ignored.append(path)
        else:
            self.more += 1

    def header(self) -> str:
        """The value of X-Postray-Ignored; "" when nothing was ignored."""
        if not self.ignored:
            return ""
        paths = [quote(path[:LONGEST_PATH], safe="[]") for path in self.ignored]
        return ",".join([*paths, f"+{self.more}"] if self.more else paths)
