"""Finds the resource that a client names by an id, or raises NotFound (404)."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import Struct

from api.http import help_texts
from api.http.refusals import NotFound
from cluster.ids import Prefix, is_id

Found = TypeVar("Found")

_LAST_NUMBER = 2**63 - 1


class ThingKind(Struct, frozen=True):
    """A kind of thing that has ids."""

    prefix: Prefix
    name: str
    help: str
    """How a client finds one that exists."""


MESSAGE = ThingKind("msg_", "message", help_texts.MESSAGE)
EMAIL = ThingKind("msg_", "email", help_texts.EMAIL)
BATCH = ThingKind("bat_", "batch", help_texts.BATCH)
TEMPLATE = ThingKind("d-", "template", help_texts.TEMPLATES)
VERSION = ThingKind("v_", "version", help_texts.TEMPLATE_VERSION)
KEY = ThingKind("key_", "API key", help_texts.KEYS)
IMAGE = ThingKind("img_", "image", help_texts.IMAGES)
ERASE_JOB = ThingKind("ers_", "erase job", help_texts.ERASE_JOB)
IMPORT = ThingKind("imp_", "import", help_texts.IMPORT)
WEBHOOK = ThingKind("wh_", "webhook", help_texts.WEBHOOKS)
ANY_WEBHOOK = ThingKind("wh_", "webhook", help_texts.ALL_WEBHOOKS)
REPLAY = ThingKind("rpl_", "replay", help_texts.REPLAYS)
TENANT = ThingKind("tnt_", "tenant", help_texts.TENANT)


async def existing(kind: ThingKind, id: str, find: Callable[[str], Awaitable[Found | None]]) -> Found:
    """The result of ``find`` for an id. Raises NotFound when that is None or False, and without calling ``find`` when
    the text is not an id of this kind."""
    found = await find(id) if is_id(kind.prefix, id) else None
    if found is None or found is False:
        raise missing(kind)
    return found


def missing(kind: ThingKind) -> NotFound:
    return NotFound(f"The {kind.name} does not exist", help=kind.help)


def number_id(text: str) -> int | None:
    """The id that a path names, of a thing that has a number (1 to 2^63 - 1); None for a text that is none."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or int(text) > _LAST_NUMBER:
        return None
    return int(text)
