"""Templates and versions in the journal."""

import asyncio
from typing import Any

import pytest
from msgspec import structs

from cluster.ids import new_id
from cluster.journal import templates
from cluster.journal.journal import Journal, Rejected
from cluster.journal.templates import (
    GENERATIONS,
    TooManyTemplates,
    TooManyVersions,
    VersionFields,
    VersionInUse,
    VersionRecord,
)
from cluster.templates.texts import Generation, TemplateTexts
from tests.integration.journal.builders import a_tenant


def fields(subject: str = "Hello", *, generation: Generation = "dynamic", **changes: Any) -> VersionFields:
    """A version whose texts are made of its subject."""
    texts = TemplateTexts(generation=generation, subject=subject, html=f"<p>{subject}</p>", plain=subject)
    new = VersionFields(name="first", editor="code", generate_plain_content=True, test_data="", texts=texts)
    return structs.replace(new, **changes)


async def a_template(journal: Journal, tenant_id: str, name: str = "welcome", *subjects: str) -> tuple[str, list[str]]:
    """A template with a version for each subject; returns its id and theirs."""
    template = await journal.templates.create(tenant_id, name, "dynamic")
    made = [await journal.templates.add_version(tenant_id, template.id, fields(subject)) for subject in subjects]
    return template.id, [version.id for version in made if version]


async def active_subject(journal: Journal, tenant_id: str, id: str) -> str | None:
    """The subject that is sent now, and the text that its hash names."""
    found = await journal.templates.active(tenant_id, id)
    if found is None or found.use is None:
        return None
    texts = await journal.templates.texts(tenant_id, found.use.texts)
    assert texts is not None and texts.subject == found.subject and texts.generation == found.generation
    return found.subject


async def test_a_version_and_what_a_send_needs_of_it(journal: Journal) -> None:
    tenant_id, other = await a_tenant(journal), await a_tenant(journal, "other")
    stored = journal.templates
    template = await stored.create(tenant_id, "welcome", "legacy")
    nothing = await stored.active(tenant_id, template.id)
    assert nothing is not None and nothing.use is None
    full = fields("Hi", generation="legacy", test_data='{"a": 1}', editor="design", generate_plain_content=False)
    record = await stored.add_version(tenant_id, template.id, full)
    assert record is not None and record.is_active
    found = await stored.version(tenant_id, template.id, record.id)
    assert found is not None and (found.record, found.fields) == (record, full)
    assert await stored.version(tenant_id, template.id, None) == found
    active = await stored.active(tenant_id, template.id)
    assert active is not None and active.use is not None
    assert (active.generation, active.subject, active.use.version_id) == ("legacy", "Hi", record.id)
    assert await stored.texts(tenant_id, active.use.texts) == full.texts
    assert await stored.texts(other, active.use.texts) is None
    changed = await stored.find(tenant_id, template.id)
    assert changed is not None and changed.updated_at > template.updated_at


async def test_the_first_version_is_active_and_then_the_one_that_is_made_so(journal: Journal) -> None:
    tenant_id = await a_tenant(journal)
    stored = journal.templates
    id, (first, second) = await a_template(journal, tenant_id, "welcome", "one", "two")
    assert await active_subject(journal, tenant_id, id) == "one"
    changed = await stored.set_active(tenant_id, id, second, True)
    assert changed is not None and changed.is_active
    assert await active_subject(journal, tenant_id, id) == "two"
    await stored.add_version(tenant_id, id, fields("three"), True)
    assert await active_subject(journal, tenant_id, id) == "three"
    assert [version.is_active for version in await stored.versions([id])] == [False, False, True]
    await stored.set_active(tenant_id, id, second, True)
    await stored.set_active(tenant_id, id, second, False)
    assert await active_subject(journal, tenant_id, id) is None
    await stored.add_version(tenant_id, id, fields("four"))
    assert await active_subject(journal, tenant_id, id) is None  # it is not the first
    assert await stored.set_active(tenant_id, id, new_id("v_"), True) is None
    unused, _ = await a_template(journal, tenant_id, "unused")
    inactive = await stored.add_version(tenant_id, unused, fields(), False)
    assert inactive is not None and not inactive.is_active
    assert await stored.set_active(tenant_id, unused, first, True) is None  # of another template


async def test_an_edit_makes_new_texts_and_keeps_the_old_ones(journal: Journal) -> None:
    tenant_id = await a_tenant(journal)
    stored = journal.templates
    id, (first,) = await a_template(journal, tenant_id, "welcome", "one")
    before = await stored.active(tenant_id, id)
    seen = await stored.version(tenant_id, id, first)
    assert before is not None and before.use is not None and seen is not None
    changed = await stored.change_version(tenant_id, seen.record, fields("two"))
    assert changed is not None and changed.updated_at > seen.record.updated_at and changed.is_active
    assert await active_subject(journal, tenant_id, id) == "two"
    assert await stored.texts(tenant_id, before.use.texts) == seen.fields.texts
    assert await stored.change_version(tenant_id, seen.record, fields("three")) is None  # not as it was seen
    inactive = await stored.change_version(tenant_id, changed, fields("four"), False)
    assert inactive is not None and not inactive.is_active
    assert await stored.delete(tenant_id, id)
    assert await stored.texts(tenant_id, before.use.texts) == seen.fields.texts
    assert await stored.change_version(tenant_id, inactive, fields()) is None


async def test_an_edit_does_not_activate_what_was_deactivated_meanwhile(journal: Journal) -> None:
    tenant_id = await a_tenant(journal)
    stored = journal.templates
    id, (first, second) = await a_template(journal, tenant_id, "welcome", "one", "two")
    seen = await stored.version(tenant_id, id, first)
    assert seen is not None and seen.record.is_active
    await stored.set_active(tenant_id, id, second, True)
    changed = await stored.change_version(tenant_id, seen.record, fields("edited"))
    assert changed is not None and not changed.is_active
    assert await active_subject(journal, tenant_id, id) == "two"


async def test_copies(journal: Journal) -> None:
    tenant_id = await a_tenant(journal)
    stored = journal.templates
    id, (_, second) = await a_template(journal, tenant_id, "welcome", "one", "two")
    await stored.set_active(tenant_id, id, second, True)
    copy = await stored.duplicate(tenant_id, id, "again")
    assert copy is not None and (copy.name, copy.generation) == ("again", "dynamic") and copy.id != id
    copied = await stored.versions([copy.id])
    assert [(one.subject, one.is_active) for one in copied] == [("one", False), ("two", True)]
    one = await stored.duplicate_version(tenant_id, id, second, "third")
    assert one is not None and (one.name, one.subject, one.is_active) == ("third", "two", False)
    await stored.delete(tenant_id, id)
    assert await active_subject(journal, tenant_id, copy.id) == "two"
    assert await stored.duplicate(tenant_id, id, "again") is None
    assert await stored.duplicate_version(tenant_id, copy.id, second, "fourth") is None


async def test_the_active_version_cannot_be_deleted(journal: Journal) -> None:
    tenant_id = await a_tenant(journal)
    stored = journal.templates
    id, (first, second) = await a_template(journal, tenant_id, "welcome", "one", "two")
    with pytest.raises(VersionInUse):
        await stored.delete_version(tenant_id, id, first)
    assert await active_subject(journal, tenant_id, id) == "one"
    assert await stored.delete_version(tenant_id, id, second)
    assert not await stored.delete_version(tenant_id, id, second)
    await stored.set_active(tenant_id, id, first, False)
    assert await stored.delete_version(tenant_id, id, first)


async def test_pages(journal: Journal) -> None:
    tenant_id, other = await a_tenant(journal), await a_tenant(journal, "other")
    ids = [(await a_template(journal, tenant_id, name, *"ab"))[0] for name in ("one", "two", "three")]
    await a_template(journal, other)
    stored = journal.templates
    legacy = await stored.create(tenant_id, "old", "legacy")

    async def page(*generations: Generation, limit: int = 10, **where: Any) -> list[tuple[str, int]]:
        found = await stored.page(tenant_id, generations or GENERATIONS, limit, **where)
        return [(template.id, count) for template, count in found]

    assert await page() == [(ids[0], 2), (ids[1], 2), (ids[2], 2), (legacy.id, 0)]
    assert await page("legacy") == [(legacy.id, 0)]
    assert await page("dynamic", limit=1, after=ids[0]) == [(ids[1], 2)]
    assert await page(limit=2, before=ids[2]) == [(ids[1], 2), (ids[0], 2)]
    assert (await stored.count(tenant_id), await stored.count(tenant_id, ["legacy"])) == (4, 1)


async def test_a_tenant_sees_and_changes_only_its_own(journal: Journal) -> None:
    tenant_id, other = await a_tenant(journal), await a_tenant(journal, "other")
    id, (first, second) = await a_template(journal, tenant_id, "welcome", "one", "two")
    stored = journal.templates
    seen = await stored.version(tenant_id, id, first)
    assert seen is not None
    assert await stored.find(other, id) is None
    assert await stored.active(other, id) is None
    assert await stored.rename(other, id, "mine") is None
    assert not await stored.delete(other, id)
    assert await stored.duplicate(other, id, "mine") is None
    assert await stored.version(other, id, first) is None
    assert await stored.add_version(other, id, fields()) is None
    assert await stored.change_version(other, seen.record, fields("mine")) is None
    assert await stored.set_active(other, id, second, True) is None
    assert await stored.duplicate_version(other, id, second, "mine") is None
    assert not await stored.delete_version(other, id, second)
    assert await active_subject(journal, tenant_id, id) == "one"
    assert len(await stored.versions([id])) == 2
    with pytest.raises(Rejected):
        await stored.create(new_id("tnt_"), "welcome", "dynamic")


async def test_the_limits_hold_in_a_race(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "MOST_TEMPLATES", 2)
    monkeypatch.setattr(templates, "MOST_VERSIONS", 3)
    tenant_id = await a_tenant(journal)
    id, _ = await a_template(journal, tenant_id)
    stored = journal.templates
    versions = await asyncio.gather(
        *[stored.add_version(tenant_id, id, fields(str(number)), True) for number in range(5)], return_exceptions=True
    )
    assert sum(isinstance(one, VersionRecord) for one in versions) == 3
    assert sum(isinstance(one, TooManyVersions) for one in versions) == 2
    assert [version.is_active for version in await stored.versions([id])].count(True) == 1
    with pytest.raises(TooManyVersions):
        await stored.duplicate_version(tenant_id, id, (await stored.versions([id]))[0].id, "more")
    made = await asyncio.gather(
        stored.duplicate(tenant_id, id, "copy"), stored.create(tenant_id, "new", "dynamic"), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in made) == ["TemplateRecord", "TooManyTemplates"]
    with pytest.raises(TooManyTemplates):
        await stored.create(tenant_id, "new", "dynamic")


async def test_activations_at_once_leave_one_active(journal: Journal) -> None:
    tenant_id = await a_tenant(journal)
    id, versions = await a_template(journal, tenant_id, "welcome", *"abcdef")
    stored = journal.templates
    await asyncio.gather(*[stored.set_active(tenant_id, id, version, True) for version in versions])
    assert [version.is_active for version in await stored.versions([id])].count(True) == 1
