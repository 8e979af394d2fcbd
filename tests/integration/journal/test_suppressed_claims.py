"""The claim decides whether a delivery is suppressed, by the lists as they are then."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from msgspec.structs import replace

from cluster.journal.day_tables import span
from cluster.journal.journal import Journal
from cluster.journal.records import CommandResult, Recipient
from cluster.journal.statements import QUERIES
from cluster.journal.suppressions import NewSuppression
from cluster.policy.lifecycle import Status
from cluster.suppression.lists import ALL_SUPPRESSED, SUPPRESSED, Bypass, SuppressionList
from cluster.tenancy.settings import AddressWhitelist, BouncePurge, TenantSettings
from tests.integration.journal.builders import a_message, a_request, a_tenant, an_outcome, dropped, waiting

EVERY_LIST = tuple(SuppressionList)
GROUP = 12


def group_of(list: SuppressionList) -> int:
    return GROUP if list is SuppressionList.GROUP else 0


def entry(tenant: str, list: SuppressionList, email: str = "ada@example.com", **fields: Any) -> NewSuppression:
    made = NewSuppression(
        tenant_id=tenant, email=email, list=list, group_id=group_of(list), created_at=datetime.now(UTC)
    )
    return replace(made, **fields)


async def claimed_by(journal: Journal, tenant: str, email: str = "ada@example.com", **fields: Any) -> str | None:
    """The list that suppresses a new message to this address."""
    message = a_message(email)
    message = replace(message, recipients=(Recipient(email, email.rpartition("@")[2]),))
    await journal.intake.accept([replace(a_request(tenant, message), **fields)])
    (claimed,) = await journal.queue.claim(waiting(tenant, message), owner=1, lease_s=60)
    if claimed.suppression is None:
        return None
    assert claimed.suppression.categories == ("greetings",)
    return claimed.suppression.name


async def test_the_lists_are_asked_in_order(journal: Journal) -> None:
    tenant, other = await a_tenant(journal), await a_tenant(journal, "other")
    await journal.suppressions.add([entry(other, list) for list in EVERY_LIST])
    assert await claimed_by(journal, tenant, group_id=GROUP) is None, "lists of another tenant"
    await journal.suppressions.add([entry(tenant, list) for list in EVERY_LIST])
    for list in EVERY_LIST:
        expected = {SuppressionList.GROUP: "group 12", SuppressionList.BLOCKS: None}.get(list, list.value)
        assert await claimed_by(journal, tenant, group_id=GROUP) == expected
        await journal.suppressions.lift(tenant, list, ["ada@example.com"], group_of(list))
    assert await claimed_by(journal, tenant, group_id=GROUP) is None


PASSED = {
    Bypass.ALL: {"unsubscribes", "group", "bounces", "invalid_emails", "spam_reports"},
    Bypass.SPAM_REPORTS: {"spam_reports"},
    Bypass.BOUNCES: {"bounces"},
    Bypass.UNSUBSCRIBES: {"unsubscribes"},
    Bypass.UNSUBSCRIBES | Bypass.BOUNCES | Bypass.SPAM_REPORTS: {"unsubscribes", "bounces", "spam_reports"},
}


async def test_a_bypass_passes_its_lists_and_no_other(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    for list in (one for one in EVERY_LIST if one is not SuppressionList.BLOCKS):
        await journal.suppressions.add([entry(tenant, list)])
        for bypass, passed in PASSED.items():
            found = await claimed_by(journal, tenant, group_id=GROUP, bypass=bypass.value)
            assert (found is None) == (list in passed), (list, bypass)
        await journal.suppressions.lift(tenant, list, ["ada@example.com"], group_of(list))


async def test_a_group_suppresses_only_its_own_mail(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    await journal.suppressions.add([entry(tenant, SuppressionList.GROUP, group_id=id) for id in (12, 14)])
    found = [await claimed_by(journal, tenant, group_id=id) for id in (None, 12, 13, 14)]
    assert found == [None, "group 12", None, "group 14"]


async def test_addresses_compare_without_regard_to_case(journal: Journal) -> None:
    for number, (listed, sent) in enumerate(
        [
            ("Ada@Example.COM", "aDA@example.com"),
            ("ada@bücher.example", "ADA@xn--bcher-kva.example"),
            ("ÜNAL@example.com", "ünal@example.com"),
            ('"a@B"@example.com', '"A@b"@example.com'),
        ]
    ):
        tenant = await a_tenant(journal, f"tenant {number}")
        await journal.suppressions.add([entry(tenant, SuppressionList.UNSUBSCRIBES, listed)])
        assert await claimed_by(journal, tenant, sent) == "unsubscribes", sent


async def test_what_is_put_on_a_list_holds_for_mail_that_was_accepted_before(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    message = a_message()
    await journal.intake.accept([a_request(tenant, message)])
    await journal.suppressions.add([entry(tenant, SuppressionList.UNSUBSCRIBES)])
    (claimed,) = await journal.queue.claim(waiting(tenant, message), owner=1, lease_s=60)
    assert claimed.suppression is not None


def whitelist(*entries: str, enabled: bool = True) -> TenantSettings:
    return TenantSettings(address_whitelist=AddressWhitelist(enabled=enabled, list=entries))


def purge(days: int | None, *, enabled: bool = True) -> TenantSettings:
    return TenantSettings(bounce_purge=BouncePurge(enabled=enabled, hard_bounces=days))


def to(settings: TenantSettings) -> Callable[[TenantSettings], TenantSettings]:
    return lambda _: settings


SPARED = (
    (whitelist("Ada@example.com"), None),
    (whitelist("other.example", "example.com"), None),
    (whitelist("bob@example.com", "ada", "com", "b.example.com"), "bounces"),
    (whitelist("ada@example.com", enabled=False), "bounces"),
    (purge(10), None),
    (purge(11), "bounces"),
    (purge(2**62), "bounces"),
    (purge(None), "bounces"),
    (purge(1, enabled=False), "bounces"),
)


async def test_a_tenants_settings_spare_addresses(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    created_at = datetime.now(UTC) - timedelta(days=10, minutes=5)
    await journal.suppressions.add([entry(tenant, SuppressionList.BOUNCES, created_at=created_at)])
    for settings, expected in SPARED:
        await journal.tenants.change_settings(tenant, to(settings))
        assert await claimed_by(journal, tenant) == expected, settings


FOLDED: tuple[tuple[tuple[Status, ...], Status, str], ...] = (
    ((), Status.FAILED, ALL_SUPPRESSED),
    ((Status.DELIVERED,), Status.DELIVERED, f"{SUPPRESSED}bounces"),
    ((Status.BOUNCED,), Status.BOUNCED, "450 later"),
    ((Status.FAILED,), Status.FAILED, "450 later"),
)


async def test_a_message_fails_as_suppressed_only_if_all_its_recipients_are(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    for others, status, error in FOLDED:
        batch = await journal.batches.create(tenant)
        message = a_message("ada@example.com", "eve@example.com", *(f"u{n}@example.com" for n, _ in enumerate(others)))
        await journal.intake.accept([a_request(tenant, message, batch_id=batch)])
        all = waiting(tenant, message)
        await journal.queue.claim(all, owner=1, lease_s=60)
        for one, name in zip(all, ("group 12", "bounces"), strict=False):
            outcome, event = an_outcome(one, Status.FAILED, sole_recipient=False)
            await journal.queue.commit([(replace(outcome, error_message=f"{SUPPRESSED}{name}"), event)], owner=1)
        for one, end in zip(all[2:], others, strict=True):
            await journal.queue.commit([an_outcome(one, end, sole_recipient=False)], owner=1)
        row = await journal.messages.find(tenant, message.id)
        assert row is not None
        assert (row.status, row.error_message) == (status, error)
        counts = await journal.batches.counts(tenant, batch)
        assert counts is not None
        assert (counts.total, counts.by_status[status]) == (1, 1)


async def test_the_claim_finds_suppressions_in_their_key_alone(journal: Journal, journal_dsn: str) -> None:
    """The function is a part of the statement's plan: called row by row it would take several times as long. The rows
    of suppressions, most of which are not in memory, are not read."""
    tenant = await a_tenant(journal)
    message = a_message()
    await journal.intake.accept([a_request(tenant, message)])
    statement = QUERIES["claim"]
    for name, value in {
        "message_ids": f"ARRAY['{message.id}']",
        "recipient_nos": "ARRAY[0]",
        "pools": "ARRAY['']",
        "routes": "ARRAY['']",
        "owner": "1",
        "lease_s": "60",
        **{name: f"'{value}'" for name, value in span([message.id]).items()},
    }.items():
        statement = statement.replace(f"%({name})s", value)
    async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
        cursor = await connection.execute(f"EXPLAIN (COSTS OFF) {statement}".encode())
        plan = "\n".join(line for (line,) in await cursor.fetchall())
    assert "Function Scan on suppression_of" not in plan, plan
    assert "Index Only Scan using suppressions_pkey on suppressions s" in plan, plan


async def test_a_retried_message_stays_bounced_while_its_address_is_suppressed(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    message = a_message("Ünal@example.com")
    await journal.intake.accept([a_request(tenant, message, batch_id=batch)])
    await journal.queue.claim(waiting(tenant, message), owner=1, lease_s=60)
    await journal.queue.commit([an_outcome(waiting(tenant, message)[0], Status.BOUNCED)], owner=1)
    await journal.suppressions.add([entry(tenant, SuppressionList.BOUNCES, "ünal@example.com")])
    await journal.suppressions.add([entry(tenant, SuppressionList.GROUP, "ünal@example.com")])

    async def retry(**terms: int) -> CommandResult | None:
        return await journal.commands.retry(tenant, message.id, message.recipients, 3600, **terms)

    still = CommandResult(done=True, status=Status.BOUNCED, suppressed_by=("bounces",))
    assert await retry() == still
    assert await retry(group_id=GROUP) == replace(still, suppressed_by=("group 12",))
    assert [len(await dropped(journal, name)) for name in ("bounces", "group 12")] == [1, 1]
    assert (await dropped(journal, "bounces"))[0].batch_id == batch
    row = await journal.messages.find(tenant, message.id)
    assert row is not None
    assert (row.status, row.error_message) == (Status.BOUNCED, "450 later")
    counts = await journal.batches.counts(tenant, batch)
    assert counts is not None
    assert (counts.total, counts.by_status[Status.BOUNCED]) == (1, 1)

    assert await retry(bypass=Bypass.BOUNCES.value) == CommandResult(done=True, status=Status.QUEUED)
    (claimed,) = await journal.queue.claim(waiting(tenant, message), owner=1, lease_s=60)
    assert claimed.suppression is None, "the terms of the message are those of before"


async def test_a_retry_sends_to_the_recipients_who_are_not_suppressed(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    message = a_message("ada@example.com", "bob@example.com")
    await journal.intake.accept([a_request(tenant, message)])
    both = waiting(tenant, message)
    await journal.queue.claim(both, owner=1, lease_s=60)
    for one in both:
        await journal.queue.commit([an_outcome(one, Status.BOUNCED, sole_recipient=False)], owner=1)
    await journal.suppressions.add([entry(tenant, SuppressionList.BOUNCES)])
    change = await journal.commands.retry(tenant, message.id, message.recipients, 3600)
    assert change == CommandResult(done=True, status=Status.QUEUED)
    claimed = await journal.queue.claim(both, owner=1, lease_s=60)
    assert {one.recipient: one.suppression is not None for one in claimed} == {
        "ada@example.com": True,
        "bob@example.com": False,
    }
    await journal.queue.commit([an_outcome(both[1], Status.DELIVERED, sole_recipient=False)], owner=1)
    await journal.commands.fail(tenant, message.id, "no more")
    change = await journal.commands.retry(tenant, message.id, message.recipients, 3600)
    assert change is not None
    assert change.under_way, "the claim of the first may be under way"
