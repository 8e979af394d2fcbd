"""Signatures on the wire: two keys, the return path, rotations while mail flows, and domains that are removed."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from cluster.events import Deferred, Dropped
from cluster.journal.journal import Journal
from cluster.journal.records import Address, NewMessage, PreparedPersonalization
from cluster.message.return_address import message_of
from cluster.policy.lifecycle import Status
from cluster.smtpd.envelope import Answer, Behaviour, ReceivedMessage, ServerReply
from cluster.tenancy.domains.domain import RETIRED_KEPT, WRONG_SHOWN, DomainState, SenderDomain
from cluster.vault import Vault
from tests.dkim_verifier import verdicts
from tests.integration.delivery.world import World, a_world, deliver
from tests.integration.domains.conftest import Domains
from tests.integration.journal.builders import a_message

HOLDS_WITHIN_S = 30.0
"""A change of keys or domains."""
ACME = "acme.example"
FIRST, SECOND, THIRD = ("postray", "postray2"), ("postray3", "postray4"), ("postray5", "postray6")
"""The selectors of the domain's keys, before and after rotations."""
HOST = "example.com"
OTHER_VAULT = Vault("YW5vdGhlciBzZWNyZXQgZm9yIHRlc3RzIG9ubHkhISE=")


@asynccontextmanager
async def a_verified_domain(
    journal: Journal, behaviour: Behaviour | None = None
) -> AsyncIterator[tuple[World, Domains, SenderDomain]]:
    """A world whose tenant sends from a domain that was verified by its records."""
    async with a_world(journal, behaviour) as world:
        world.zone(HOST, "127.0.0.1")
        domains = Domains(journal, world.tenant_id, world.dns)
        domains.start(world.resolver)
        acme = await domains.add(ACME, include_subdomains=True)
        domains.publish(acme)
        acme = await domains.verify(acme)
        assert acme.verified_at is not None
        world.authors[world.tenant_id] = f"hello@{ACME}"
        yield world, domains, acme
        await domains.verifier.close()


async def rotated(domains: Domains, acme: SenderDomain) -> SenderDomain:
    """New keys, once the DNS shows them. What it showed before and need not show any more goes."""
    acme = await domains.manager.rotate(acme)
    for name, kind in [*domains.dns.zone]:
        if kind == "TXT":
            del domains.dns.zone[name, kind]
    domains.publish(acme)
    return await domains.verify(acme)


def shown(domains: Domains) -> dict[str, str]:
    """The texts that the DNS shows now."""
    return {
        name: b"".join(text for one in records for text in one.data).decode()
        for (name, kind), records in domains.dns.zone.items()
        if kind == "TXT"
    }


def selectors(data: bytes) -> tuple[str, ...]:
    """Of the signatures, in their order."""
    header = data.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ")
    fields = [line for line in header.split(b"\r\n") if line.startswith(b"DKIM-Signature:")]
    return tuple(field.partition(b" s=")[2].partition(b";")[0].decode() for field in fields)


def from_(address: str) -> NewMessage:
    own = PreparedPersonalization(to=(Address(f"ada@{HOST}"),), from_=Address(address))
    return a_message(f"ada@{HOST}", personalization=own)


async def execute(dsn: str, statement: str, *parameters: object) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute(statement.encode(), parameters)


async def noticed(world: World) -> None:
    """Return when the delivery actor knows what changed; by itself it asks once a second."""
    await world.deliverer.deps.directory.refresh()


async def test_a_rotation_while_mail_flows(journal: Journal) -> None:
    """Each signature of every message verifies against what the DNS shows when the message arrives."""
    received: list[tuple[bytes, dict[str, str]]] = []

    def end_of_data(envelope: ReceivedMessage) -> Answer:
        received.append((envelope.content, shown(domains)))
        return None

    async def send() -> None:
        while True:
            await world.accept(*(a_message(f"r{number}@{HOST}") for number in range(3)))
            await world.scheduler.paging.round()
            await asyncio.sleep(0.03)

    async def until_signed_with(wanted: tuple[str, ...]) -> None:
        deadline = time.monotonic() + HOLDS_WITHIN_S
        while not received or selectors(received[-1][0]) != wanted:
            assert time.monotonic() < deadline and world.crashes == []
            await asyncio.sleep(0.01)

    async with a_verified_domain(journal, Behaviour(end_of_data=end_of_data)) as (world, domains, acme):
        sending = asyncio.create_task(send())
        await until_signed_with(FIRST)
        acme = await rotated(domains, acme)
        await until_signed_with(SECOND)
        domains.now += RETIRED_KEPT  # only now may the records of the first keys go
        acme = await rotated(domains, acme)
        await until_signed_with(THIRD)
        sending.cancel()
    assert len(received) > 30
    assert {selectors(data) for data, _ in received} == {FIRST, SECOND, THIRD}
    assert [verdicts(data, records) for data, records in received] == [[True, True]] * len(received)
    last = received[-1][1]
    assert f"{THIRD[0]}._domainkey.{ACME}" in last and f"{FIRST[0]}._domainkey.{ACME}" not in last


async def test_a_retry_after_a_rotation_signs_with_the_new_keys(journal: Journal) -> None:
    seen: list[bytes] = []

    def end_of_data(envelope: ReceivedMessage) -> Answer:
        seen.append(envelope.content)
        return ServerReply(451, "4.3.0 later") if len(seen) == 1 else None

    async with a_verified_domain(journal, Behaviour(end_of_data=end_of_data)) as (world, domains, acme):
        message = a_message(f"ada@{HOST}")
        await world.accept(message)
        await world.eventually(lambda: bool(seen))
        await rotated(domains, acme)
        await noticed(world)
        assert (await world.finished(message)).status is Status.DELIVERED
    assert selectors(seen[0]) == FIRST and selectors(seen[-1]) == SECOND
    assert seen[0].partition(b"\r\nDate: ")[2] == seen[-1].partition(b"\r\nDate: ")[2]


async def test_a_domain_signs_for_its_sub_domains_and_gets_their_bounces(journal: Journal) -> None:
    async with a_verified_domain(journal) as (world, domains, _):
        message = from_(f"news@deep.sub.{ACME}")
        await deliver(world, message)
        (envelope,) = world.taken
        assert message_of(envelope.mail_from) == message.id
        assert envelope.mail_from.endswith(f"@bounces.{ACME}")
        assert envelope.content.count(f"d={ACME};".encode()) == 2
        assert f"Message-ID: <{message.id}@deep.sub.{ACME}>".encode() in envelope.content
        assert verdicts(envelope.content, shown(domains)) == [True, True]


async def test_mail_of_a_removed_domain_fails_when_it_would_be_claimed(journal: Journal) -> None:
    async with a_verified_domain(journal) as (world, domains, acme):
        batch = await journal.batches.create(world.tenant_id)
        await deliver(world, a_message(f"first@{HOST}"))
        soon = datetime.now(UTC) + timedelta(seconds=0.2)
        scheduled = a_message(f"ada@{HOST}", f"bob@{HOST}", send_at=soon)
        await world.accept(scheduled, from_(f"news@sub.{ACME}"), batch_id=batch)
        await journal.sender_domains.remove(acme.id, world.tenant_id)
        await noticed(world)
        row = await world.finished(scheduled)
        assert row.status is Status.FAILED
        assert row.error_message == f"Sender domain not verified: {ACME}"
        events = await world.events_of(scheduled, 2)
        assert [type(event) for event in events] == [Dropped, Dropped]
        assert {event.reason for event in events if isinstance(event, Dropped)} == {row.error_message}
        await world.eventually(lambda: has_failed(journal, world.tenant_id, batch))
        # The same domain, added anew and not verified yet, sends nothing either.
        await domains.add(ACME)
        again = a_message(f"ada@{HOST}")
        await world.accept(again)
        assert (await world.finished(again)).error_message == row.error_message
        assert len(world.taken) == 1


async def has_failed(journal: Journal, tenant_id: str, batch_id: str) -> bool:
    """Whether both messages of a batch have failed, and it is complete."""
    counts = await journal.batches.counts(tenant_id, batch_id)
    assert counts is not None and counts.total == 2
    return counts.by_status[Status.FAILED] == 2 and counts.completed_at is not None


async def test_mail_of_a_domain_goes_while_its_records_are_wrong_and_fails_once_it_is_not_verified(
    journal: Journal, journal_dsn: str
) -> None:
    async with a_verified_domain(journal) as (world, domains, acme):
        records = shown(domains)
        for name, kind in [*domains.dns.zone]:
            if name.endswith(ACME):
                del domains.dns.zone[name, kind]
        await domains.verify(acme)
        domains.now += WRONG_SHOWN
        acme = await domains.verify(acme)
        assert acme.state(domains.now) is DomainState.WRONG
        await noticed(world)
        await deliver(world, a_message(f"ada@{HOST}"))
        assert verdicts(world.taken[0].content, records) == [True, True]
        await execute(journal_dsn, "UPDATE sender_domains SET verified_at = NULL")
        await noticed(world)
        message = a_message(f"bob@{HOST}")
        await world.accept(message)
        assert (await world.finished(message)).error_message == f"Sender domain not verified: {ACME}"


async def test_a_key_that_cannot_be_opened_puts_mail_off_until_it_can(
    journal: Journal, journal_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_verified_domain(journal) as (world, domains, acme):
        sealed = {key.selector: key.sealed_private_key for key in acme.keys}
        seal = "UPDATE dkim_keys SET sealed_private_key = %s WHERE selector = %s"
        await execute(journal_dsn, seal, OTHER_VAULT.seal(b"x"), FIRST[1])
        await noticed(world)
        message = a_message(f"ada@{HOST}")
        await world.accept(message)
        await world.scheduler.paging.round()
        (event,) = await world.events_of(message, 1)
        assert isinstance(event, Deferred)
        assert event.reason == f"the signing keys of {ACME} cannot be used"
        assert event.next_attempt_at > time.time() + 60
        (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert "put it back from a backup" in record.getMessage()
        assert world.taken == []
        await execute(journal_dsn, seal, sealed[FIRST[1]], FIRST[1])
        await noticed(world)
        await execute(journal_dsn, "UPDATE deliveries SET due_at = now()")
        assert (await world.finished(message)).status is Status.DELIVERED
        assert verdicts(world.taken[0].content, shown(domains)) == [True, True]
