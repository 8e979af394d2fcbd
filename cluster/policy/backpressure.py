"""Backpressure: whether the queue and the disk have room for more mail."""

from msgspec import Struct

from cluster.policy.storage import WHAT_TO_DO


class LoadBounds(Struct, frozen=True, kw_only=True):
    """The limits on the queue and the disk; 0 sets no limit."""

    backlog: int
    """The largest number of deliveries in the queue."""
    free_disk_mb: int
    """MiB that must stay free on the journal's disk."""


class MeasuredLoad(Struct, frozen=True, kw_only=True):
    """The last measurement; None for a value that is not known."""

    backlog: int | None = None
    free_disk_mb: int | None = None


def why_full(load: MeasuredLoad, bounds: LoadBounds) -> str | None:
    """Why no more mail is accepted; None while there is room.

    An unknown value rejects nothing: a journal that cannot be measured cannot commit either, and raises its own error.
    """
    if bounds.free_disk_mb and load.free_disk_mb is not None and load.free_disk_mb < bounds.free_disk_mb:
        return (
            f"The disk is full: {load.free_disk_mb} MiB are left of the {bounds.free_disk_mb} that are kept free "
            f"(http.min_free_disk_mb). For the operator: {WHAT_TO_DO}"
        )
    if bounds.backlog and load.backlog is not None and load.backlog >= bounds.backlog:
        return f"The queue is full: {load.backlog} deliveries wait, of {bounds.backlog} at most"
    return None
