"""What a client names by an id, or a 404: one way to find it."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import Struct

from api.http.refusals import NotFound
from cluster.ids import Prefix, is_id

Found = TypeVar("Found")


class ThingKind(Struct, frozen=True):
    """A kind of thing that has ids."""

    prefix: Prefix
    name: str


MESSAGE = ThingKind("msg_", "message")
BATCH = ThingKind("bat_", "batch")


async def existing(kind: ThingKind, id: str, find: Callable[[str], Awaitable[Found | None]]) -> Found:
    """What ``find`` answers of an id: of text that is no id of this kind it is not asked. Raises NotFound where that is
    None, or False."""
    found = await find(id) if is_id(kind.prefix, id) else None
    if found is None or found is False:
        raise missing(kind)
    return found


def missing(kind: ThingKind) -> NotFound:
    return NotFound(f"The {kind.name} does not exist")
