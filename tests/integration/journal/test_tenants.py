"""Tenants in the journal: their record, which of them a poll finds changed, and those of before migration 0011."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from importlib import resources

import psycopg
import pytest
from msgspec.structs import replace

from cluster.journal.journal import Journal, Rejected, migrate
from cluster.tenancy.domains.domain import Held
from cluster.tenancy.settings import DEFAULTS, TenantSettings
from tests.domains import a_domain
from tests.integration.journal.builders import a_tenant


async def test_the_record_of_a_tenant(journal: Journal) -> None:
    tenant_id = await a_tenant(journal)
    await a_domain(journal, tenant_id, "acme.example")
    await a_domain(journal, tenant_id, "waiting.example", verified=False)
    found = await journal.tenants.find(tenant_id)
    assert found is not None
    assert (found.id, found.name, found.is_suspended, found.link_host) == (tenant_id, "acme", False, "")
    assert found.senders == {"acme.example": False}
    assert found.settings is DEFAULTS
    assert await journal.tenants.find("tnt_none") is None


async def test_concurrent_changes_of_settings_lose_nothing(journal: Journal) -> None:
    tenant_id, other = await a_tenant(journal), await a_tenant(journal, "other")
    cursor, _ = await journal.tenants.changed(None)

    def click(settings: TenantSettings) -> TenantSettings:
        return replace(settings, click=replace(settings.click, enable_text=True))

    def footer(settings: TenantSettings) -> TenantSettings:
        return replace(settings, footer=replace(settings.footer, enabled=True, plain_content="Acme, Main St. 1"))

    def time_zone(settings: TenantSettings) -> TenantSettings:
        return replace(settings, time_zone="Europe/Berlin")

    await asyncio.gather(*[journal.tenants.change_settings(tenant_id, one) for one in (click, footer, time_zone)])
    found = await journal.tenants.find(tenant_id)
    assert found is not None
    expected = time_zone(footer(click(DEFAULTS)))
    assert found.settings == expected
    _, changed = await journal.tenants.changed(cursor)
    assert tenant_id in changed and other not in changed
    untouched = await journal.tenants.find(other)
    assert untouched is not None and untouched.settings is DEFAULTS
    assert await journal.tenants.change_settings("tnt_none", click) is None


async def test_a_refused_change_of_settings_changes_nothing(journal: Journal) -> None:
    tenant_id = await a_tenant(journal)

    def refuse(settings: TenantSettings) -> TenantSettings:
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        await journal.tenants.change_settings(tenant_id, refuse)
    found = await journal.tenants.find(tenant_id)
    assert found is not None and found.settings is DEFAULTS


async def test_two_tenants_cannot_hold_one_domain(journal: Journal) -> None:
    await a_domain(journal, await a_tenant(journal), "acme.example", verified=False)
    with pytest.raises(Held):
        await a_domain(journal, await a_tenant(journal, "other"), "ACME.example")


async def test_what_belongs_to_a_tenant_changes_it(journal: Journal, journal_dsn: str) -> None:
    tenant_id, other = await a_tenant(journal), await a_tenant(journal, "other")

    async def key() -> None:
        await journal.api_keys.create(tenant_id, name="k", prefix="sg", hash=b"1", scopes=(), sandbox=False)

    async def sql(statement: str) -> None:
        async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
            await connection.execute(statement.encode())

    changes: tuple[Callable[[], Awaitable[object]], ...] = (
        key,
        lambda: a_domain(journal, tenant_id, "acme.example"),
        lambda: sql("UPDATE api_keys SET revoked_at = now()"),
        lambda: sql("UPDATE sender_domains SET verified_at = NULL"),
        lambda: sql("UPDATE dkim_keys SET state = 'retired'"),
        lambda: sql(f"UPDATE tenants SET suspended_at = now() WHERE id = '{tenant_id}'"),
        lambda: sql(f"INSERT INTO branded_links (tenant_id, domain, subdomain) VALUES ('{tenant_id}', 'a.b', 'c')"),
    )
    cursor, _ = await journal.tenants.changed(None)
    for change in changes:
        await change()
        cursor, changed = await journal.tenants.changed(cursor)
        assert changed == {tenant_id}
    await sql("UPDATE api_keys SET last_used_at = now()")
    await sql("UPDATE sender_domains SET checked_at = now()")
    _, changed = await journal.tenants.changed(cursor)
    assert changed <= {tenant_id} and other not in changed
    cursor, _ = await journal.tenants.changed(cursor)
    assert (await journal.tenants.changed(cursor))[1] == frozenset()


async def test_a_change_that_commits_late_is_found(journal: Journal, journal_dsn: str) -> None:
    early, late = await a_tenant(journal), await a_tenant(journal, "late")
    cursor, _ = await journal.tenants.changed(None)
    async with await psycopg.AsyncConnection.connect(journal_dsn) as connection:
        await connection.execute(b"UPDATE tenants SET suspended_at = now() WHERE id = %s", [late])
        async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as another:
            await another.execute(b"UPDATE tenants SET suspended_at = now() WHERE id = %s", [early])
        cursor, changed = await journal.tenants.changed(cursor)
        assert changed == {early}
        await connection.commit()
    _, changed = await journal.tenants.changed(cursor)
    assert late in changed


@pytest.fixture
def before(postgres: str) -> Iterator[str]:
    """A database as migration 0010 left it."""
    name = "journal_before_tenancy"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    dsn = postgres.replace("/postgres?", f"/{name}?")
    scripts = sorted(resources.files("cluster.journal").joinpath("migrations").iterdir(), key=lambda file: file.name)
    with psycopg.connect(dsn) as connection:
        connection.execute(b"CREATE TABLE migrations (name text PRIMARY KEY, at timestamptz DEFAULT now())")
        for script in scripts:
            if script.name < "0011":
                connection.execute(script.read_text(encoding="utf-8").encode())
                connection.execute(b"INSERT INTO migrations (name) VALUES (%s)", [script.name])
        connection.execute(b"INSERT INTO migrations (name) VALUES ('0006_spelling_of_domains')")
    yield dsn
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


async def test_an_installation_of_before_keeps_what_it_has(before: str) -> None:
    with psycopg.connect(before, autocommit=True) as connection:
        connection.execute(
            b"""INSERT INTO tenants (id, name) VALUES ('tnt_1', 'one'), ('tnt_2', 'two');
            INSERT INTO api_keys (id, tenant_id, name, prefix, hash, scopes)
            VALUES ('key_1', 'tnt_1', 'k', 'sg', 'hash', '{mail.send}');
            INSERT INTO sender_domains (tenant_id, domain, verified_at)
            VALUES ('tnt_1', 'acme.example', now()), ('tnt_2', 'acme.example', now());
            INSERT INTO dkim_keys (domain_id, selector, public_key, sealed_private_key, active)
            SELECT id, 'postray', 'p', 'sealed', true FROM sender_domains;
            INSERT INTO dkim_keys (domain_id, selector, public_key, sealed_private_key, active)
            SELECT id, 'old', 'p', 'sealed', false FROM sender_domains;
            INSERT INTO attachments (sha256, content) VALUES ('file', 'its bytes')"""
        )
    await migrate(before)
    journal = Journal(before, application="test")
    await journal.open()
    try:
        for tenant_id in ("tnt_1", "tnt_2"):
            tenant = await journal.tenants.find(tenant_id)
            assert tenant is not None and tenant.senders == {"acme.example": False}
            signing = await journal.sender_domains.signing(tenant_id, "acme.example")
            assert signing is not None and (signing.domain, signing.return_path) == ("acme.example", "acme.example")
            assert [(key.algorithm, key.selector) for key in signing.keys] == [("rsa", "postray")]
        found = await journal.api_keys.by_hash(b"hash")
        assert found is not None and found.scopes == {"mail.send"}
        assert await journal.messages.attachments("tnt_1", [b"file"]) == {b"file": b"its bytes"}
        with pytest.raises(Rejected):
            await a_domain(journal, "tnt_3", "acme.example")
    finally:
        await journal.close()
