"""What is stored of a message to others, without some addresses that it names. Pure.

Messages have to be finished: what stands there instead is not meant to be sent. Each function returns a value
that equals its argument when no address is named there.
"""

from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from cluster.journal.records import Address, Content, PreparedPersonalization
from cluster.message.dsn import Dsn, original_address
from cluster.message.mentions import ERASED, Mentions
from cluster.message.submitted.erasing import without_addresses
from cluster.webhooks.bundles import OwedEvent

_KEPT = ("categories",)
"""Names that the tenant has chosen; statistics are counted by them."""


def content_without(content: Content, mentions: Mentions) -> Content:
    """What the messages of a request share. Attached files are not among it."""
    original = without_addresses(content.original, mentions) if content.original else b""
    kept: Content = _without(content, mentions)
    return replace(kept, original=original)


def personalization_without(personalization: PreparedPersonalization, mentions: Mentions) -> PreparedPersonalization:
    """What a message has of its own."""
    kept: PreparedPersonalization = _without(personalization, mentions)
    if not personalization.template_data:
        return kept
    data = msgspec.json.decode(personalization.template_data)
    without = _without(data, mentions)
    return kept if without == data else replace(kept, template_data=msgspec.json.encode(without))


def owed_without(owed: OwedEvent, mentions: Mentions) -> OwedEvent:
    """An event that an endpoint is owed."""
    kept: OwedEvent = _without(owed, mentions)
    return kept


def _without(value: Any, mentions: Mentions) -> Any:
    match value:
        case str():
            return mentions.without(value)
        case Address() if mentions.are_in(value.email):
            return Address(ERASED)
        case Dsn():
            return _dsn_without(value, mentions)
        case Struct():
            names = [name for name in value.__struct_fields__ if name not in _KEPT]
            return replace(value, **{name: _without(getattr(value, name), mentions) for name in names})
        case dict():
            return {_without(key, mentions): _without(one, mentions) for key, one in value.items()}
        case list():
            return [_without(one, mentions) for one in value]
        case tuple():
            return tuple([_without(one, mentions) for one in value])
    return value


def _dsn_without(dsn: Dsn, mentions: Mentions) -> Dsn:
    originals = {
        recipient: original
        for recipient, original in dsn.original_recipients.items()
        if not mentions.are_in(recipient) and not mentions.are_in(original_address(original))
    }
    never = tuple([recipient for recipient in dsn.never if not mentions.are_in(recipient)])
    return replace(dsn, envelope_id=mentions.without(dsn.envelope_id), original_recipients=originals, never=never)
