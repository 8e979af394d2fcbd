"""The journal's part for templates and their versions.

A version's texts are stored by their content and never change: an edit of a version names other texts. So mail that was
accepted before the edit is rendered as it was then.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from msgspec import Struct

from cluster.ids import new_id, new_ids
from cluster.journal.database import JournalPart, Rejected, Row, execute, rows
from cluster.templates.texts import Generation, TemplateTexts, TemplateUse, decode_texts, encode_texts

MOST_TEMPLATES = 300
"""The most templates of a tenant."""
MOST_VERSIONS = 300
"""The most versions of a template."""
GENERATIONS: tuple[Generation, ...] = ("dynamic", "legacy")


class TooManyTemplates(Exception):
    """The tenant has ``MOST_TEMPLATES`` already."""


class TooManyVersions(Exception):
    """The template has ``MOST_VERSIONS`` already."""


class VersionInUse(Exception):
    """The active version cannot be deleted."""


class TemplateRecord(Struct, frozen=True, kw_only=True):
    """A template without its versions."""

    id: str
    name: str
    generation: Generation
    created_at: datetime
    updated_at: datetime
    """The last change of the template or of one of its versions."""


class VersionRecord(Struct, frozen=True, kw_only=True):
    """A version without its texts."""

    id: str
    template_id: str
    name: str
    subject: str
    editor: str
    generate_plain_content: bool
    is_active: bool
    created_at: datetime
    updated_at: datetime


class VersionFields(Struct, frozen=True, kw_only=True):
    """What the author of a version sets."""

    name: str
    editor: str
    generate_plain_content: bool
    """The plain text is made from the html whenever the version is stored."""
    test_data: str
    """JSON for previews; "" for none."""
    texts: TemplateTexts


class Version(Struct, frozen=True, kw_only=True):
    """A version as it is stored."""

    record: VersionRecord
    fields: VersionFields


class ActiveTemplate(Struct, frozen=True, kw_only=True):
    """What a send with a template needs to know."""

    generation: Generation
    use: TemplateUse | None
    """None when no version is active."""
    subject: str
    """The subject of the active version, as its author wrote it."""


class Templates(JournalPart):
    """Creates, reads and changes templates and versions. The caller has checked what it stores."""

    async def active(self, tenant_id: str, id: str) -> ActiveTemplate | None:
        """The template as a send uses it now; None when the tenant does not have it."""
        row = await self._database.row("active_version", tenant_id=tenant_id, id=id)
        if row is None:
            return None
        generation, version_id, texts, subject = row
        use = None if version_id is None else TemplateUse(version_id, texts)
        return ActiveTemplate(generation=generation, use=use, subject=subject or "")

    async def texts(self, tenant_id: str, sha256: bytes) -> TemplateTexts | None:
        """Texts by the SHA-256 of their encoded form; None when the tenant has none such."""
        row = await self._database.row("template_texts", tenant_id=tenant_id, sha256=sha256)
        return decode_texts(row[0]) if row else None

    async def keep_texts(self, tenant_id: str, texts: TemplateTexts) -> bytes:
        """Store texts that no version has; returns the SHA-256 of their encoded form."""
        async with self._database.connection() as connection:
            return await _store_texts(connection, tenant_id, texts)

    async def use_texts_again(self, tenant_id: str, sha256: bytes) -> bool:
        """Keep texts for new mail, although it is not of the version that they are from; False when they are gone."""
        return bool(await self._database.execute("use_template_texts", tenant_id=tenant_id, sha256=sha256))

    async def create(self, tenant_id: str, name: str, generation: Generation) -> TemplateRecord:
        """Raises TooManyTemplates, and Rejected for a tenant that does not exist."""
        async with self._database.transaction() as connection:
            return await _create(connection, tenant_id, name, generation)

    async def count(self, tenant_id: str, generations: Collection[Generation] = GENERATIONS) -> int:
        row = await self._database.row("count_templates", tenant_id=tenant_id, generations=list(generations))
        assert row is not None
        return int(row[0])

    async def page(
        self,
        tenant_id: str,
        generations: Collection[Generation],
        limit: int,
        *,
        after: str = "",
        before: str | None = None,
    ) -> list[tuple[TemplateRecord, int]]:
        """At most ``limit`` templates, each with the number of its versions: the first ones after an id, the oldest
        first; or the last ones before an id, the newest first."""
        found = await self._database.rows(
            "templates_after" if before is None else "templates_before",
            tenant_id=tenant_id,
            generations=list(generations),
            id=after if before is None else before,
            limit=limit,
        )
        return [(_template(row[:-1]), row[-1]) for row in found]

    async def find(self, tenant_id: str, id: str) -> TemplateRecord | None:
        row = await self._database.row("template", tenant_id=tenant_id, id=id)
        return _template(row) if row else None

    async def rename(self, tenant_id: str, id: str, name: str) -> TemplateRecord | None:
        """None when the tenant does not have it; so for all below."""
        row = await self._database.row("rename_template", tenant_id=tenant_id, id=id, name=name)
        return _template(row) if row else None

    async def delete(self, tenant_id: str, id: str) -> bool:
        """Delete a template with its versions; False when the tenant does not have it."""
        return bool(await self._database.execute("delete_template", tenant_id=tenant_id, id=id))

    async def duplicate(self, tenant_id: str, id: str, name: str) -> TemplateRecord | None:
        """A copy of a template with its versions. Raises TooManyTemplates."""
        async with self._database.transaction() as connection:
            found = await _locked(connection, tenant_id, id)
            if found is None:
                return None
            copy = await _create(connection, tenant_id, name, found.generation)
            ids = [row[0] for row in await rows(connection, "versions", template_ids=[id])]
            if ids:
                await _copy(connection, copy.id, ids, None, keeps_active=True)
        return copy

    async def versions(self, template_ids: Sequence[str]) -> list[VersionRecord]:
        """The versions of templates that the caller has found, the oldest of each first."""
        return [_version(row) for row in await self._database.rows("versions", template_ids=list(template_ids))]

    async def version(self, tenant_id: str, template_id: str, id: str | None) -> Version | None:
        """A version with its texts; no ``id`` means the active one."""
        row = await self._database.row("version", tenant_id=tenant_id, template_id=template_id, id=id)
        if row is None:
            return None
        record = _version(row[:-2])
        fields = VersionFields(
            name=record.name,
            editor=record.editor,
            generate_plain_content=record.generate_plain_content,
            test_data=row[-2],
            texts=decode_texts(row[-1]),
        )
        return Version(record=record, fields=fields)

    async def add_version(
        self, tenant_id: str, template_id: str, fields: VersionFields, is_active: bool | None = None
    ) -> VersionRecord | None:
        """A new version; with ``is_active`` None it is active if it is the first one. Raises TooManyVersions."""
        async with self._database.transaction() as connection:
            if await _locked(connection, tenant_id, template_id) is None:
                return None
            is_first = await _room_for_version(connection, template_id) == 0
            id = new_id("v_")
            active = is_first if is_active is None else is_active
            if active:
                await execute(connection, "deactivate_versions", template_id=template_id, but=id)
            values = await _stored(connection, tenant_id, fields)
            made = await rows(
                connection,
                "create_version",
                id=id,
                template_id=template_id,
                tenant_id=tenant_id,
                is_active=active,
                **values,
            )
            await execute(connection, "touch_template", id=template_id)
        return _version(made[0])

    async def change_version(
        self, tenant_id: str, seen: VersionRecord, fields: VersionFields, is_active: bool | None = None
    ) -> VersionRecord | None:
        """Set the fields of a version and, unless None, whether it is active. None when the version was changed or
        deleted after the caller has ``seen`` it."""
        one = {"id": seen.id, "template_id": seen.template_id}
        async with self._database.transaction() as connection:
            if await _locked(connection, tenant_id, seen.template_id) is None:
                return None
            if not await rows(connection, "has_version", **one, seen=seen.updated_at):
                return None
            if is_active:
                await execute(connection, "deactivate_versions", template_id=seen.template_id, but=seen.id)
            values = await _stored(connection, tenant_id, fields)
            changed = await rows(connection, "change_version", **one, is_active=is_active, **values)
            await execute(connection, "touch_template", id=seen.template_id)
        return _version(changed[0])

    async def set_active(self, tenant_id: str, template_id: str, id: str, is_active: bool) -> VersionRecord | None:
        """Make a version the active one, or not active."""
        one = {"id": id, "template_id": template_id}
        async with self._database.transaction() as connection:
            if await _locked(connection, tenant_id, template_id) is None:
                return None
            if not await rows(connection, "has_version", **one, seen=None):
                return None
            if is_active:
                await execute(connection, "deactivate_versions", template_id=template_id, but=id)
            changed = await rows(connection, "set_active", **one, is_active=is_active)
            await execute(connection, "touch_template", id=template_id)
        return _version(changed[0])

    async def duplicate_version(self, tenant_id: str, template_id: str, id: str, name: str) -> VersionRecord | None:
        """A copy of a version, which is not active. Raises TooManyVersions."""
        async with self._database.transaction() as connection:
            if await _locked(connection, tenant_id, template_id) is None:
                return None
            if not await rows(connection, "has_version", id=id, template_id=template_id, seen=None):
                return None
            await _room_for_version(connection, template_id)
            made = await _copy(connection, template_id, [id], name, keeps_active=False)
            await execute(connection, "touch_template", id=template_id)
        return _version(made[0])

    async def delete_version(self, tenant_id: str, template_id: str, id: str) -> bool:
        """False when there is none. Raises VersionInUse for the active one."""
        async with self._database.transaction() as connection:
            if await _locked(connection, tenant_id, template_id) is None:
                return False
            deleted = await rows(connection, "delete_version", id=id, template_id=template_id)
            if not deleted:
                return False
            if deleted[0][0]:
                raise VersionInUse  # and nothing is committed
            await execute(connection, "touch_template", id=template_id)
        return True


async def _locked(connection: Any, tenant_id: str, id: str) -> TemplateRecord | None:
    """The template; no other transaction changes it or its versions until this one ends."""
    found = await rows(connection, "lock_template", tenant_id=tenant_id, id=id)
    return _template(found[0]) if found else None


async def _create(connection: Any, tenant_id: str, name: str, generation: Generation) -> TemplateRecord:
    """Raises TooManyTemplates, and Rejected for a tenant that does not exist."""
    if not await rows(connection, "lock_tenant", id=tenant_id):
        raise Rejected(f"there is no tenant {tenant_id}")
    ((count,),) = await rows(connection, "count_templates", tenant_id=tenant_id, generations=list(GENERATIONS))
    if count >= MOST_TEMPLATES:
        raise TooManyTemplates
    made = await rows(
        connection, "create_template", id=new_id("d-"), tenant_id=tenant_id, name=name, generation=generation
    )
    return _template(made[0])


async def _copy(
    connection: Any, template_id: str, ids: list[str], name: str | None, *, keeps_active: bool
) -> list[Row]:
    """Copy versions into a template; ``name`` None keeps their names."""
    return await rows(
        connection,
        "copy_versions",
        template_id=template_id,
        ids=ids,
        new_ids=new_ids("v_", len(ids)),
        name=name,
        keeps_active=keeps_active,
    )


async def _room_for_version(connection: Any, template_id: str) -> int:
    """The number of versions of a template. Raises TooManyVersions when there is no room for another."""
    ((count,),) = await rows(connection, "count_versions", template_id=template_id)
    if count >= MOST_VERSIONS:
        raise TooManyVersions
    return int(count)


async def _stored(connection: Any, tenant_id: str, fields: VersionFields) -> dict[str, Any]:
    """Store the texts of a version; returns the values of its columns."""
    hash = await _store_texts(connection, tenant_id, fields.texts)
    return {
        "name": fields.name,
        "subject": fields.texts.subject,
        "editor": fields.editor,
        "generate_plain_content": fields.generate_plain_content,
        "test_data": fields.test_data,
        "texts": hash,
    }


async def _store_texts(connection: Any, tenant_id: str, texts: TemplateTexts) -> bytes:
    """Returns the SHA-256 of their encoded form."""
    encoded = encode_texts(texts)
    hash = sha256(encoded).digest()
    await execute(connection, "store_template_texts", tenant_id=tenant_id, sha256=hash, texts=encoded)
    return hash


def _template(row: Row) -> TemplateRecord:
    id, name, generation, created_at, updated_at = row
    return TemplateRecord(id=id, name=name, generation=generation, created_at=created_at, updated_at=updated_at)


def _version(row: Row) -> VersionRecord:
    id, template_id, name, subject, editor, generates, is_active, created_at, updated_at = row
    return VersionRecord(
        id=id,
        template_id=template_id,
        name=name,
        subject=subject,
        editor=editor,
        generate_plain_content=generates,
        is_active=is_active,
        created_at=created_at,
        updated_at=updated_at,
    )
