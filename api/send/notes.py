"""The findings of a request's check that are not faults. Pure."""

from msgspec import field

from api.http.ignored import Ignored


class Notes(Ignored):
    """``senders`` has the addresses in Sender fields with their paths; their domains must be verified like those of
    From."""

    senders: list[tuple[str, str]] = field(default_factory=list)
