"""Some fields of a stored record, decoded without the others: these are skipped, which takes a fraction of the time."""

import msgspec
from msgspec import Struct, field

from cluster.journal.records import Address, Attachment
from cluster.templates.texts import TemplateUse


class References(Struct, frozen=True):
    """What a ``Content`` names that is stored apart from it."""

    attachments: tuple[Attachment, ...] = ()
    template: TemplateUse | None = None


class _ContentShort(Struct, omit_defaults=True):
    """The fields of ``Content`` that a list shows."""

    from_: Address
    subject: str = ""
    categories: tuple[str, ...] = ()
    template_id: str | None = None


class _PersonalizationShort(Struct, omit_defaults=True):
    """The fields of ``PreparedPersonalization`` that a list shows."""

    to: tuple[Address, ...]
    from_: Address | None = None
    subject: str | None = None
    substitutions: dict[str, str] = field(default_factory=dict)


_references = msgspec.msgpack.Decoder(References)
_short_contents = msgspec.msgpack.Decoder(_ContentShort)
_short_personals = msgspec.msgpack.Decoder(_PersonalizationShort)
_encode = msgspec.msgpack.Encoder().encode


def decode_references(data: bytes) -> References:
    """What a stored ``Content`` names."""
    return _references.decode(data)


def without_bodies(data: bytes) -> bytes:
    """A stored ``Content`` with only the fields that a list shows."""
    return _encode(_short_contents.decode(data))


def without_data(data: bytes) -> bytes:
    """A stored ``PreparedPersonalization`` with only the fields that a list shows."""
    return _encode(_short_personals.decode(data))
