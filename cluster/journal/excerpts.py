"""Some fields of a stored record, decoded without the others: these are skipped, which takes a fraction of the time."""

import msgspec
from msgspec import Struct, field

from cluster.journal.records import Address, Attachment
from cluster.message.dsn import Dsn
from cluster.templates.texts import TemplateUse


class References(Struct, frozen=True):
    """What a ``Content`` names that is stored apart from it."""

    attachments: tuple[Attachment, ...] = ()
    template: TemplateUse | None = None


class _Asm(Struct, frozen=True):
    group_id: int | None = None


class SuppressionTerms(Struct, frozen=True):
    """The fields of ``Content`` by which lists suppress its messages."""

    asm: _Asm | None = None
    bypass: int = 0


class ContentShort(Struct, omit_defaults=True):
    """The fields of ``Content`` that a list shows."""

    from_: Address
    subject: str = ""
    categories: tuple[str, ...] = ()
    template_id: str | None = None


class PersonalizationShort(Struct, omit_defaults=True):
    """The fields of ``PreparedPersonalization`` that a list shows."""

    to: tuple[Address, ...]
    from_: Address | None = None
    subject: str | None = None
    substitutions: dict[str, str] = field(default_factory=dict)


class ReportTerms(Struct, omit_defaults=True):
    """The fields of ``PreparedPersonalization`` that decide what a report on the message does."""

    dsn: Dsn | None = None
    is_notice: bool = False


_references = msgspec.msgpack.Decoder(References)
_suppression_terms = msgspec.msgpack.Decoder(SuppressionTerms)
_short_contents = msgspec.msgpack.Decoder(ContentShort)
_short_personals = msgspec.msgpack.Decoder(PersonalizationShort)
_report_terms = msgspec.msgpack.Decoder(ReportTerms)
_encode = msgspec.msgpack.Encoder().encode


def decode_references(data: bytes) -> References:
    """What a stored ``Content`` names."""
    return _references.decode(data)


def decode_report_terms(data: bytes) -> ReportTerms:
    """What a stored ``PreparedPersonalization`` says of reports; nothing, once it has gone."""
    return _report_terms.decode(data) if data else ReportTerms()


def decode_suppression_terms(data: bytes) -> tuple[int | None, int | None]:
    """The unsubscribe group of a stored ``Content``'s messages, and the lists that they pass; None for none."""
    terms = _suppression_terms.decode(data)
    return terms.asm.group_id if terms.asm is not None else None, terms.bypass or None


def without_bodies(data: bytes) -> bytes:
    """A stored ``Content`` with only the fields that a list shows."""
    return _encode(_short_contents.decode(data))


def without_data(data: bytes) -> bytes:
    """A stored ``PreparedPersonalization`` with only the fields that a list shows."""
    return _encode(_short_personals.decode(data))
