"""Signatures on the wire: two keys, the return path, rotations while mail flows, and domains that are removed."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache

import psycopg
import pytest
from dnslib import TXT

from actors.smtpd.envelope import Answer, Behaviour, ReceivedMessage, ServerReply
from cluster.dkim_keys import generate_ed25519_key, generate_rsa_key, record_name, record_text
from cluster.events import Deferred, Dropped
from cluster.journal.journal import Journal
from cluster.journal.records import Address, NewMessage, PreparedPersonalization
from cluster.policy.lifecycle import Status
from cluster.vault import Vault
from tests.dkim_verifier import verdicts
from tests.integration.delivery.world import DOMAIN, SECRET, World, a_world, deliver
from tests.integration.journal.builders import a_message

HOLDS_WITHIN_S = 5.0
"""A change of keys or domains."""
OTHER_SECRET = "YW5vdGhlciBzZWNyZXQgZm9yIHRlc3RzIG9ubHkhISE="
HOST = "example.com"


@cache
def a_key(algorithm: str, selector: str) -> tuple[bytes, str]:
    return generate_rsa_key() if algorithm == "rsa" else generate_ed25519_key()


class Keys:
    """The keys of the world's domain in the journal, and their records in the DNS."""

    def __init__(self, world: World, dsn: str) -> None:
        self._world = world
        self._dsn = dsn

    async def execute(self, statement: str, *parameters: object) -> None:
        async with await psycopg.AsyncConnection.connect(self._dsn) as connection:
            await connection.execute(statement.encode(), parameters)

    async def add(self, rsa: str, ed25519: str, *, secret: str = SECRET) -> None:
        """Pending keys with these selectors."""
        for algorithm, selector in (("rsa", rsa), ("ed25519", ed25519)):
            pem, public = a_key(algorithm, selector)
            await self.execute(
                """INSERT INTO dkim_keys (domain_id, algorithm, selector, public_key, sealed_private_key, state)
                SELECT id, %s, %s, %s, %s, 'pending' FROM sender_domains WHERE domain = %s""",
                *(algorithm, selector, public, Vault(secret).seal(pem), DOMAIN),
            )
            self._world.key_records[record_name(DOMAIN, selector)] = record_text(public)

    def publish(self, *selectors: str) -> None:
        """Show the records of these keys, and of no others."""
        zone = self._world.dns.zone
        for name, kind in [*zone]:
            if kind == "TXT":
                del zone[name, kind]
        for name in (record_name(DOMAIN, selector) for selector in selectors):
            text = self._world.key_records[name]
            zone[name, "TXT"] = [TXT([text[start : start + 255] for start in range(0, len(text), 255)])]

    async def activate(self, *selectors: str) -> None:
        """These sign from now on, and all others are retired, at one moment."""
        await self.execute(
            """UPDATE dkim_keys SET state = CASE WHEN selector = ANY (%s) THEN 'active' ELSE 'retired' END
            WHERE state = 'active' OR selector = ANY (%s)""",
            *([*selectors], [*selectors]),
        )

    def shown(self) -> dict[str, str]:
        """What the DNS shows now."""
        zone = self._world.dns.zone
        return {
            name: b"".join(text for one in records for text in one.data).decode()
            for (name, kind), records in zone.items()
            if kind == "TXT"
        }


@asynccontextmanager
async def a_domain_with_keys(
    journal: Journal, dsn: str, behaviour: Behaviour | None = None
) -> AsyncIterator[tuple[World, Keys]]:
    """A world whose domain signs with the keys r1 and e1, and has a return path of its own."""
    async with a_world(journal, behaviour) as world:
        world.zone(HOST, "127.0.0.1")
        keys = Keys(world, dsn)
        await keys.add("r1", "e1")
        await keys.activate("r1", "e1")
        await keys.execute("UPDATE sender_domains SET subdomain = 'bounces', include_subdomains = true")
        keys.publish("r1", "e1")
        await world.deliverer.deps.directory.refresh()
        yield world, keys


def selectors(data: bytes) -> list[str]:
    """Of the signatures, in their order."""
    header = data.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ")
    return [
        line.partition(b" s=")[2].partition(b";")[0].decode()
        for line in header.split(b"\r\n")
        if line.startswith(b"DKIM-Signature:")
    ]


def from_(address: str) -> NewMessage:
    own = PreparedPersonalization(to=(Address(f"ada@{HOST}"),), from_=Address(address))
    return a_message(f"ada@{HOST}", personalization=own)


async def test_a_rotation_while_mail_flows(journal: Journal, journal_dsn: str) -> None:
    """Every message verifies against what the DNS shows when it arrives: each of its two signatures."""
    received: list[tuple[bytes, dict[str, str]]] = []

    def end_of_data(envelope: ReceivedMessage) -> Answer:
        received.append((envelope.content, keys.shown()))
        return None

    async def send() -> None:
        while True:
            await world.accept(*(a_message(f"r{number}@{HOST}") for number in range(3)))
            await world.scheduler.round()
            await asyncio.sleep(0.03)

    async def until_signed_with(*wanted: str) -> None:
        deadline = time.monotonic() + HOLDS_WITHIN_S
        while not received or selectors(received[-1][0]) != [*wanted]:
            assert time.monotonic() < deadline and world.crashes == []
            await asyncio.sleep(0.01)

    async with a_domain_with_keys(journal, journal_dsn, Behaviour(end_of_data=end_of_data)) as (world, keys):
        sending = asyncio.create_task(send())
        await until_signed_with("r1", "e1")
        await keys.add("r2", "e2")
        keys.publish("r1", "e1", "r2", "e2")
        await keys.activate("r2", "e2")
        await until_signed_with("r2", "e2")
        # A later rotation: only now the records of the first keys go.
        await keys.add("r3", "e3")
        keys.publish("r2", "e2", "r3", "e3")
        await keys.activate("r3", "e3")
        await until_signed_with("r3", "e3")
        sending.cancel()
    found = [selectors(data) for data, _ in received]
    assert {tuple(one) for one in found} == {("r1", "e1"), ("r2", "e2"), ("r3", "e3")}
    assert [verdicts(data, shown) for data, shown in received] == [[True, True]] * len(received)


async def test_a_retry_after_a_rotation_signs_with_the_new_key(journal: Journal, journal_dsn: str) -> None:
    seen: list[bytes] = []

    def end_of_data(envelope: ReceivedMessage) -> Answer:
        seen.append(envelope.content)
        return ServerReply(451, "4.3.0 later") if len(seen) == 1 else None

    async with a_domain_with_keys(journal, journal_dsn, Behaviour(end_of_data=end_of_data)) as (world, keys):
        message = a_message(f"ada@{HOST}")
        await world.accept(message)
        await keys.add("r2", "e2")
        await world.eventually(lambda: bool(seen))
        await keys.activate("r2", "e2")
        await world.deliverer.deps.directory.refresh()
        assert (await world.finished(message)).status is Status.DELIVERED
    assert [selectors(data) for data in (seen[0], seen[-1])] == [["r1", "e1"], ["r2", "e2"]]
    assert seen[0].partition(b"\r\nDate: ")[2] == seen[-1].partition(b"\r\nDate: ")[2]


async def test_a_domain_signs_for_its_sub_domains_and_gets_their_bounces(journal: Journal, journal_dsn: str) -> None:
    async with a_domain_with_keys(journal, journal_dsn) as (world, keys):
        message = from_(f"news@deep.sub.{DOMAIN}")
        await deliver(world, message)
        (envelope,) = world.taken
        assert envelope.mail_from == f"b+{message.id[4:].lower()}@bounces.{DOMAIN}"
        assert envelope.content.count(f"d={DOMAIN};".encode()) == 2
        assert f"Message-ID: <{message.id}@deep.sub.{DOMAIN}>".encode() in envelope.content
        assert verdicts(envelope.content, keys.shown()) == [True, True]


async def test_mail_of_a_removed_domain_fails_when_it_would_be_claimed(journal: Journal, journal_dsn: str) -> None:
    async with a_domain_with_keys(journal, journal_dsn) as (world, keys):
        batch = await journal.batches.create(world.tenant_id)
        await deliver(world, a_message(f"first@{HOST}"))
        soon = datetime.now(UTC) + timedelta(seconds=0.2)
        scheduled = a_message(f"ada@{HOST}", f"bob@{HOST}", send_at=soon)
        await world.accept(scheduled, from_(f"news@sub.{DOMAIN}"), batch_id=batch)
        await keys.execute("DELETE FROM dkim_keys")
        await keys.execute("DELETE FROM sender_domains")
        await world.deliverer.deps.directory.refresh()
        row = await world.finished(scheduled)
        assert row.status is Status.FAILED
        assert row.error_message == f"Sender domain not verified: {DOMAIN}"
        events = await world.events_of(scheduled, 2)
        assert [type(event) for event in events] == [Dropped, Dropped]
        assert {event.reason for event in events if isinstance(event, Dropped)} == {row.error_message}
        await world.eventually(lambda: has_failed(journal, world.tenant_id, batch))


async def has_failed(journal: Journal, tenant_id: str, batch_id: str) -> bool:
    """Whether both messages of a batch have failed, and it is complete."""
    counts = await journal.batches.counts(tenant_id, batch_id)
    assert counts is not None and counts.total == 2
    return counts.by_status[Status.FAILED] == 2 and counts.completed_at is not None


async def test_mail_of_a_domain_that_is_not_verified_fails_and_that_of_a_wrong_one_goes(
    journal: Journal, journal_dsn: str
) -> None:
    async with a_domain_with_keys(journal, journal_dsn) as (world, keys):
        await keys.execute("UPDATE sender_domains SET wrong_since = now() - interval '10 days'")
        await deliver(world, a_message(f"ada@{HOST}"))
        await keys.execute("UPDATE sender_domains SET verified_at = NULL")
        await world.deliverer.deps.directory.refresh()
        message = a_message(f"bob@{HOST}")
        await world.accept(message)
        assert (await world.finished(message)).error_message == f"Sender domain not verified: {DOMAIN}"


async def test_a_key_that_cannot_be_opened_puts_mail_off_until_it_can(
    journal: Journal, journal_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_domain_with_keys(journal, journal_dsn) as (world, keys):
        await keys.add("r2", "e2", secret=OTHER_SECRET)
        await keys.activate("r2", "e2")
        await world.deliverer.deps.directory.refresh()
        message = a_message(f"ada@{HOST}")
        await world.accept(message)
        await world.scheduler.round()
        (event,) = await world.events_of(message, 1)
        assert isinstance(event, Deferred)
        assert event.reason == f"the signing keys of {DOMAIN} cannot be used"
        assert event.next_attempt_at > time.time() + 60
        (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert "put it back from a backup" in record.getMessage()
        assert world.taken == []
        await keys.activate("r1", "e1")
        await world.deliverer.deps.directory.refresh()
        await keys.execute("UPDATE deliveries SET due_at = now()")
        assert (await world.finished(message)).status is Status.DELIVERED
        assert verdicts(world.taken[0].content, keys.shown()) == [True, True]
