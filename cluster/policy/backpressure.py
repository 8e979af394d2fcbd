"""Whether there is room for more: what is refused before anything breaks."""

from msgspec import Struct


class Bounds(Struct, frozen=True, kw_only=True):
    """0 sets no bound."""

    backlog: int
    """Deliveries in the queue, at most."""
    free_disk_mb: int
    """MiB that must stay free on the journal's disk."""


class Load(Struct, frozen=True, kw_only=True):
    """What was measured last; None for what is not known."""

    backlog: int | None = None
    free_disk_mb: int | None = None


def refusal(load: Load, bounds: Bounds) -> str | None:
    """Why nothing more is taken; None while there is room. What is not known refuses nothing: a journal that cannot be
    asked cannot commit either, and says so itself."""
    if bounds.free_disk_mb and load.free_disk_mb is not None and load.free_disk_mb < bounds.free_disk_mb:
        return f"The disk is full: {load.free_disk_mb} MiB are left of the {bounds.free_disk_mb} that are kept free"
    if bounds.backlog and load.backlog is not None and load.backlog >= bounds.backlog:
        return f"The queue is full: {load.backlog} deliveries wait, of {bounds.backlog} at most"
    return None
