"""Makes a new request of a message that was accepted before: the same content to the same recipients. Pure, except for
the new ids."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from cluster.intake.prepared import prepared_request
from cluster.journal.records import (
    Content,
    MessageRow,
    NewRequest,
    PreparedPersonalization,
    decode_content,
    decode_personalization,
)
from cluster.message.custom_fields import FieldKind, kind_of, merged, sender_of
from cluster.message.submitted.header import without_fields
from cluster.message.submitted.reading import headers_of
from cluster.policy.routes.domains import domain_of

_NEW = (b"message-id", b"date")
"""Fields of a submitted message that it gets anew."""


class Former(Struct, frozen=True):
    """What a message was accepted with."""

    row: MessageRow
    content: Content
    personalization: PreparedPersonalization

    @property
    def group_id(self) -> int | None:
        """Its unsubscribe group."""
        return self.content.asm.get("group_id") if self.content.asm else None

    @property
    def sender_domains(self) -> set[str]:
        """The domains of its From and Sender."""
        own, shared = self.personalization, self.content
        emails = [(own.from_ or shared.from_).email]
        for name, value in merged(shared.headers | headers_of(shared.original), own.headers).items():
            if kind_of(name.lower()) is FieldKind.SENDER:
                emails.append(sender_of(value))
        return {domain_of(email) for email in emails}


def former(row: MessageRow) -> Former:
    return Former(row, decode_content(row.content), decode_personalization(row.personalization))


def resent(
    first: Former,
    *,
    files: dict[bytes, bytes],
    pool: str,
    key_id: str,
    sandbox: bool,
    now: datetime,
    lifetime: timedelta,
) -> NewRequest:
    """A request that sends the message again, now. It belongs to no batch, and has a Message-ID of its own: receivers
    may drop a second message with the same one. ``files`` are its attachments: they are stored anew, as those of the
    first message go earlier."""
    content = replace(
        first.content,
        headers=_without_message_id(first.content.headers),
        original=without_fields(first.content.original, _NEW),
    )
    own = replace(
        first.personalization,
        headers=_without_message_id(first.personalization.headers),
        resent_from=first.row.id,
        is_notice=False,
    )
    return prepared_request(
        content,
        [own],
        [None],
        tenant_id=first.row.tenant_id,
        now=now,
        lifetime=lifetime,
        files=files,
        pool=pool,
        sandbox=sandbox,
        subjects=[first.row.subject],
        group_id=first.group_id,
        key_id=key_id,
    )


def _without_message_id(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if kind_of(name.lower()) is not FieldKind.MESSAGE_ID}
