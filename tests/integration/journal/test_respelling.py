"""Sender domains that an older version stored as they were written, and mail that it queued."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from actors.compose.templated import Version
from actors.delivery.composing import Composer
from actors.delivery.job import Job
from actors.delivery.marker import Marker
from actors.delivery.signing import SendingDomains
from cluster.dkim_keys import generate_rsa_key
from cluster.journal.journal import Journal, Rejected, migrate
from cluster.journal.records import Address, BodyPart, Content, PreparedPersonalization, Recipient, encode
from cluster.templates.store import CompiledTemplates
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.domains.domain import Held
from cluster.vault import Vault
from tests.domains import a_domain
from tests.integration.journal.builders import a_message, a_request, a_tenant, waiting
from tests.tracking import A_KEY

SECRET = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="
DOMAIN = "xn--bcher-kva.example"


class Old:
    """A journal of an older version: the migration step has not run, and rows have their old spelling."""

    def __init__(self, dsn: str, connection: psycopg.AsyncConnection[Any]) -> None:
        self.dsn, self.connection = dsn, connection

    async def domain(self, tenant: str, domain: str, *selectors: str, verified: bool = True) -> None:
        cursor = await self.connection.execute(
            "INSERT INTO sender_domains (tenant_id, domain, verified_at) VALUES (%s, %s, CASE WHEN %s THEN now() END)"
            " RETURNING id",
            [tenant, domain, verified],
        )
        ((id,),) = await cursor.fetchall()
        for selector in selectors:
            await self.connection.execute(
                "INSERT INTO dkim_keys (domain_id, selector, public_key, sealed_private_key) VALUES (%s, %s, %s, %s)",
                [id, selector, f"{domain} {selector}", domain.encode()],
            )

    async def domains(self, tenant: str) -> list[tuple[str, bool, list[str]]]:
        """(domain, whether it is verified, its keys: those that sign, then those that do not in brackets)."""
        cursor = await self.connection.execute(
            """SELECT s.domain, s.verified_at IS NOT NULL,
                array_agg(CASE WHEN k.state = 'active' THEN k.public_key ELSE '(' || k.public_key || ')' END
                    ORDER BY k.state <> 'active', k.id)
            FROM sender_domains s JOIN dkim_keys k ON k.domain_id = s.id
            WHERE s.tenant_id = %s GROUP BY s.id ORDER BY s.domain""",
            [tenant],
        )
        return await cursor.fetchall()


@pytest.fixture
async def old(journal_dsn: str) -> AsyncIterator[Old]:
    async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
        await connection.execute("DELETE FROM migrations WHERE name = '0006_spelling_of_domains'")
        yield Old(journal_dsn, connection)


async def test_domains_get_the_one_spelling_once(journal: Journal, old: Old) -> None:
    tenant, other = await a_tenant(journal), await a_tenant(journal, "other")
    await old.domain(tenant, "Bücher.example", "s1")
    await old.domain(tenant, "Mail.Example.COM", "s1", verified=False)
    await old.domain(tenant, "plain.example", "s1", "s2")
    await old.domain(other, "bücher.example", "s1")
    ran = await asyncio.gather(*(migrate(old.dsn) for _ in range(3)))
    assert sorted(ran) == [[], [], ["0006_spelling_of_domains"]]
    assert await old.domains(tenant) == [
        ("mail.example.com", False, ["Mail.Example.COM s1"]),
        ("plain.example", True, ["plain.example s1", "plain.example s2"]),
        (DOMAIN, True, ["Bücher.example s1"]),
    ]
    assert await old.domains(other) == [(DOMAIN, True, ["bücher.example s1"])]
    for spelling in (DOMAIN, "bücher.example", "BÜCHER.example"):
        signing = await journal.sender_domains.signing(tenant, spelling)
        assert signing is not None and signing.domain == DOMAIN
        assert [key.sealed_private_key for key in signing.keys] == ["Bücher.example".encode()]


async def test_what_a_tenant_has_in_several_spellings_becomes_one(journal: Journal, old: Old) -> None:
    tenant = await a_tenant(journal)
    await old.domain(tenant, "bücher.example", "s1", "old")
    await old.domain(tenant, DOMAIN, "s1", "own", verified=False)
    await old.domain(tenant, "BÜCHER.example", "third")
    await migrate(old.dsn)
    keys = [f"{DOMAIN} s1", f"{DOMAIN} own", "(bücher.example old)", "(BÜCHER.example third)"]
    assert await old.domains(tenant) == [(DOMAIN, True, keys)]


async def test_a_twin_without_a_key_signs_with_the_others(journal: Journal, old: Old) -> None:
    tenant = await a_tenant(journal)
    await old.domain(tenant, DOMAIN)
    await old.domain(tenant, "bücher.example", "s1")
    await migrate(old.dsn)
    assert await old.domains(tenant) == [(DOMAIN, True, ["bücher.example s1"])]


async def test_a_domain_is_made_once_however_it_is_spelled(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    made: dict[str, Any] = {"verified": True, "selector": "s1", "public_key": "A", "sealed_private_key": b"x"}
    await a_domain(journal, tenant, "Bücher.example", **made)
    (domain,) = await journal.sender_domains.of_tenant(tenant)
    assert domain.domain == DOMAIN
    for wrong in ("bücher.example", "BÜCHER.EXAMPLE", DOMAIN, "localhost", "a b.example", ""):
        with pytest.raises((Held, Rejected)):
            await a_domain(journal, tenant, wrong, **made)


async def test_mail_queued_with_u_labels_is_composed_and_signed(journal: Journal, tmp_path: Path) -> None:
    tenant, vault = await a_tenant(journal), Vault(SECRET)
    private_key, public_key = generate_rsa_key()
    await a_domain(
        journal,
        tenant,
        DOMAIN,
        verified=True,
        selector="s1",
        public_key=public_key,
        sealed_private_key=vault.seal(private_key),
    )
    email = "Ada@Bücher.example"
    message = replace(a_message(email), recipients=(Recipient(email, DOMAIN),))
    message = replace(message, personalization=encode(PreparedPersonalization(to=(Address(email),))))
    content = Content(from_=Address("Hallo@Bücher.example"), subject="Hallo", parts=(BodyPart("text/plain", "Hallo"),))
    await journal.intake.accept([replace(a_request(tenant, message), content=encode(content))])
    claimed = await journal.queue.claim(waiting(tenant, message), owner=1, lease_s=60)
    marker = Marker(tmp_path)
    marker.begin(1)
    sending = SendingDomains(journal, vault, TenantDirectory(journal))
    composer = Composer(journal, sending, CompiledTemplates(journal, Version), marker, lambda: A_KEY)
    (made,) = [made async for made in composer.compose(await composer.gather([claimed]))]
    (job,) = made
    assert isinstance(job, Job)
    assert job.envelope.recipients == (f"Ada@{DOMAIN}",)
    assert job.envelope.mail_from.endswith(f"@{DOMAIN}")
    head = job.data.partition(b"\r\n\r\n")[0].decode("ascii")
    assert f"From: Hallo@{DOMAIN}" in head and f"d={DOMAIN};" in head and f"Message-ID: <{message.id}@{DOMAIN}>" in head
