"""Sender domains in the journal: which of them signs the mail of an author's domain, and with which keys."""

import psycopg
import pytest

from cluster.journal.journal import Journal
from tests.integration.journal.builders import a_tenant


async def execute(dsn: str, *statements: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            await connection.execute(statement.encode())


async def a_domain(journal: Journal, tenant_id: str, domain: str, *, verified: bool = True) -> None:
    await journal.sender_domains.create(
        tenant_id, domain, verified=verified, selector="s1", public_key="p", sealed_private_key=domain.encode()
    )


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
