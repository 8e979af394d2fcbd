"""The answers about templates and versions, in SendGrid's shapes and with ours. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from cluster.journal.templates import TemplateRecord, Version, VersionFields, VersionRecord
from cluster.templates.texts import Generation


class VersionSummary(Struct, kw_only=True):
    """A version of a template, without its texts."""

    id: str
    template_id: str
    active: Literal[0, 1]
    """Whether mail with the template uses it."""
    name: str
    subject: str
    editor: str
    generate_plain_content: bool
    created_at: datetime
    updated_at: datetime


class Warned(Struct, frozen=True):
    """What a version lacks, though it may be stored so."""

    message: str


class VersionDetail(VersionSummary, kw_only=True):
    """A version of a template."""

    preheader: str
    html_content: str
    plain_content: str
    test_data: str
    warnings: list[Warned]


class VersionList(Struct, frozen=True):
    """The versions of a template, the oldest first."""

    result: list[VersionSummary]


class _Template(Struct, kw_only=True):
    """What every answer says of a template."""

    id: str
    name: str
    generation: Generation
    created_at: datetime
    updated_at: datetime
    """The last change of the template or of one of its versions."""


class TemplateSummary(_Template, kw_only=True):
    """A template with its versions, without their texts."""

    versions: list[VersionSummary]


class ListedVersion(VersionSummary, kw_only=True):
    """A version of a template; only the active one has its texts here."""

    preheader: str | UnsetType = UNSET
    html_content: str | UnsetType = UNSET
    plain_content: str | UnsetType = UNSET
    test_data: str | UnsetType = UNSET
    warnings: list[Warned] | UnsetType = UNSET


class TemplateDetail(_Template, kw_only=True):
    """A template with its versions. The active version has its texts too."""

    versions: list[ListedVersion]


NO_SUBJECT = "The version has no subject: mail with it needs one of its own"
NO_CONTENT = "The version has neither html_content nor plain_content: mail with it has an empty text"


def version_summary(record: VersionRecord) -> VersionSummary:
    return VersionSummary(**_of_record(record))


def version_detail(record: VersionRecord, fields: VersionFields) -> VersionDetail:
    return VersionDetail(**_of_record(record), **_of_fields(fields))


def template_summary(template: TemplateRecord, versions: Iterable[VersionRecord]) -> TemplateSummary:
    return TemplateSummary(**_of_template(template), versions=[version_summary(one) for one in versions])


def template_detail(
    template: TemplateRecord, versions: Iterable[VersionRecord], active: Version | None
) -> TemplateDetail:
    """``active`` is the active version, with its texts."""
    shown = [
        ListedVersion(
            **_of_record(one), **(_of_fields(active.fields) if active is not None and one == active.record else {})
        )
        for one in versions
    ]
    return TemplateDetail(**_of_template(template), versions=shown)


def _of_template(template: TemplateRecord) -> dict[str, Any]:
    return {
        "id": template.id,
        "name": template.name,
        "generation": template.generation,
        "created_at": template.created_at,
        "updated_at": template.updated_at,
    }


def _of_record(record: VersionRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "template_id": record.template_id,
        "active": int(record.is_active),
        "name": record.name,
        "subject": record.subject,
        "editor": record.editor,
        "generate_plain_content": record.generate_plain_content,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


def _of_fields(fields: VersionFields) -> dict[str, Any]:
    texts = fields.texts
    warnings = [NO_SUBJECT] if not texts.subject.strip() else []
    warnings += [NO_CONTENT] if not texts.html.strip() and not texts.plain.strip() else []
    return {
        "preheader": texts.preheader,
        "html_content": texts.html,
        "plain_content": texts.plain,
        "test_data": fields.test_data,
        "warnings": [Warned(text) for text in warnings],
    }
