"""Sender domains in the journal: which of them signs the mail of an author's domain, and with which keys."""

import psycopg
import pytest

from cluster.journal.journal import Journal
from tests.domains import a_domain
from tests.integration.journal.builders import a_tenant


async def execute(dsn: str, *statements: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            await connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("author", "signs"),
    [
        ("parent.example", "parent.example"),
        ("other.parent.example", "parent.example"),
        ("a.b.parent.example", "parent.example"),
        ("sub.parent.example", "sub.parent.example"),
        ("deep.sub.parent.example", "parent.example"),
        ("waiting.parent.example", "parent.example"),
        ("PARENT.example", "parent.example"),
        ("x.alone.example", None),
        ("waiting.example", None),
        ("example", None),
        ("", None),
        ("xn--\u20ac", None),
    ],
)
async def test_a_domain_is_signed_for_by_itself_or_by_a_parent(
    journal: Journal, journal_dsn: str, author: str, signs: str | None
) -> None:
    tenant_id, other = await a_tenant(journal), await a_tenant(journal, "other")
    for domain in ("parent.example", "sub.parent.example", "alone.example"):
        await a_domain(journal, tenant_id, domain)
    for domain in ("waiting.parent.example", "waiting.example"):
        await a_domain(journal, tenant_id, domain, verified=False)
    await execute(journal_dsn, "UPDATE sender_domains SET include_subdomains = true WHERE domain = 'parent.example'")
    found = await journal.sender_domains.signing(tenant_id, author)
    assert (found and found.domain) == signs
    assert await journal.sender_domains.signing(other, author) is None


async def test_the_active_keys_sign_and_the_return_path_is_below_the_domain(journal: Journal, journal_dsn: str) -> None:
    tenant_id = await a_tenant(journal)
    await a_domain(journal, tenant_id, "acme.example")
    await execute(
        journal_dsn,
        "UPDATE sender_domains SET subdomain = 'bounces'",
        """INSERT INTO dkim_keys (domain_id, algorithm, selector, public_key, sealed_private_key, state)
        SELECT id, algorithm, selector, 'p', selector::bytea, state FROM sender_domains, (VALUES
            ('ed25519', 'e1', 'active'), ('rsa', 'r2', 'pending'), ('rsa', 'r0', 'retired')
        ) AS k (algorithm, selector, state)""",
    )
    found = await journal.sender_domains.signing(tenant_id, "acme.example")
    assert found is not None and found.return_path == "bounces.acme.example"
    assert [(key.algorithm, key.selector) for key in found.keys] == [("rsa", "s1"), ("ed25519", "e1")]
    await execute(journal_dsn, "UPDATE dkim_keys SET state = 'pending'")
    found = await journal.sender_domains.signing(tenant_id, "acme.example")
    assert found is not None and found.keys == ()


async def test_a_domain_that_another_tenant_verifies_below_ones_own_is_the_others(
    journal: Journal, journal_dsn: str
) -> None:
    tenant_id, other = await a_tenant(journal), await a_tenant(journal, "other")
    await a_domain(journal, tenant_id, "acme.example")
    await execute(journal_dsn, "UPDATE sender_domains SET include_subdomains = true")
    await a_domain(journal, other, "news.acme.example", verified=False)
    await a_domain(journal, other, "xacme.example")
    found = await journal.tenants.find(tenant_id)
    assert found is not None and found.sender_domain("news.acme.example") == "acme.example"
    cursor, _ = await journal.tenants.changed(None)
    await execute(journal_dsn, "UPDATE sender_domains SET verified_at = now() WHERE domain = 'news.acme.example'")
    assert (await journal.tenants.changed(cursor))[1] == {tenant_id, other}
    found = await journal.tenants.find(tenant_id)
    assert found is not None and found.others == {"news.acme.example": False}
    assert found.sender_domain("news.acme.example") is None
    assert found.sender_domain("a.news.acme.example") == "acme.example"
    await execute(journal_dsn, "UPDATE sender_domains SET include_subdomains = true WHERE domain = 'news.acme.example'")
    found = await journal.tenants.find(tenant_id)
    assert found is not None and found.sender_domain("a.news.acme.example") is None
    await execute(journal_dsn, "DELETE FROM sender_domains WHERE domain = 'news.acme.example'")
    found = await journal.tenants.find(tenant_id)
    assert found is not None and found.others == {} and found.sender_domain("news.acme.example") == "acme.example"
