"""The log of what an endpoint was posted (``hook.py``): one JSON object per line."""

from pathlib import Path

from msgspec import Struct

from benchmarks.tail import Tail


class HookedEvent(Struct, frozen=True, kw_only=True):
    """What is kept of an event, under its names in postray's own dialect."""

    event_id: str
    event_type: str
    message_id: str = ""
    recipient_email: str = ""
    sequence: int = 0


class Post(Struct, frozen=True, kw_only=True):
    """One post that was received completely."""

    at: float
    """Seconds since the epoch."""
    path: str
    taken: bool
    """Whether the endpoint took it: its client need not post it again."""
    status: int
    """Of the answer; 0 where there is none."""
    count: int
    """Of its events."""
    events: list[HookedEvent] = []

    @property
    def is_answered(self) -> bool:
        """Whether its client may know that it was taken."""
        return self.taken and self.status == 200


def read_posts(path: Path) -> list[Post]:
    """Every line of an endpoint's log; an incomplete last one is left out."""
    return tail_of(path).take()


def tail_of(path: Path) -> Tail[Post]:
    """A reader of an endpoint's log, from the first line."""
    return Tail(path, Post)
