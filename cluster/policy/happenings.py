"""What happens to processes and to the journal, and is noted (``cluster/journal/happenings.py``)."""

from enum import StrEnum


class HappeningKind(StrEnum):
    """The values are stored."""

    BEGAN = "began"
    """A process began."""
    RAY_BEGAN = "ray_began"
    """The Ray of a node began, and with it all processes there; the actor is the host."""
    STOOD_STILL = "stood_still"
    """The event loop of a process stood still."""
    JOURNAL_AWAY = "journal_away"
    """Calls of the journal failed, or took long."""
    JOURNAL_STARTED = "journal_started"
    """The journal's server was started."""
    JOURNAL_RECOVERED = "journal_recovered"
    """Its own processes began: at its start, or after one of them was lost."""
    REWRITTEN = "rewritten"
    """A partition of past days was rewritten."""
