"""Entries of suppression lists that go: those of a wrong rule, and those that are too old for their tenant."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from cluster.journal.journal import Journal
from cluster.journal.suppressions import NewSuppression
from cluster.suppression.lists import SuppressionList
from cluster.tenancy.settings import BouncePurge
from tests.integration.journal.builders import a_tenant

NOW = datetime.now(UTC)


def entry(tenant: str, email: str, list: SuppressionList, *, days: float = 0, rule: str = "") -> NewSuppression:
    return NewSuppression(tenant_id=tenant, email=email, list=list, created_at=NOW - timedelta(days=days), rule=rule)


async def left(journal: Journal, tenant: str, **emails: str) -> set[str]:
    """The names of the emails that are still on a list."""
    on = set[str]()
    for list in SuppressionList:
        on |= set(await journal.suppressions.among(tenant, list, [*emails.values()]))
    return {name for name, email in emails.items() if email in on}


async def test_what_a_rule_has_made_is_deleted_in_parts(journal: Journal) -> None:
    one, other = await a_tenant(journal), await a_tenant(journal, "other")
    bounces, blocks = SuppressionList.BOUNCES, SuppressionList.BLOCKS
    await journal.suppressions.add(
        [
            *(entry(one, f"u{number}@example.com", bounces, rule="wrong") for number in range(5)),
            entry(other, "u@example.com", bounces, rule="wrong"),
            entry(one, "blocked@example.com", blocks, rule="wrong"),
            entry(one, "old@example.com", bounces, days=3, rule="wrong"),
            entry(one, "right@example.com", bounces, rule="right"),
            entry(one, "reader@example.com", SuppressionList.UNSUBSCRIBES),
        ]
    )
    since, suppressions = NOW - timedelta(days=1), journal.suppressions
    assert await suppressions.made_by_rule("wrong", since, None) == {"bounces": 6, "blocks": 1}
    assert await suppressions.made_by_rule("wrong", since, blocks) == {"blocks": 1}
    assert await suppressions.made_by_rule("", since, None) == {}
    assert await suppressions.purge_rule("", since, None, 10) == {}
    assert await suppressions.purge_rule("wrong", since, bounces, 4) == {"bounces": 4}
    assert await suppressions.purge_rule("wrong", since, bounces, 4) == {"bounces": 2}
    names = {name: f"{name}@example.com" for name in ("u", "u0", "blocked", "old", "right", "reader")}
    assert await left(journal, one, **names) == {"blocked", "old", "right", "reader"}
    assert await suppressions.purge_rule("wrong", since, None, 4) == {"blocks": 1}


async def test_bounces_that_are_too_old_for_their_tenant_are_deleted(journal: Journal) -> None:
    lists = {"hard": SuppressionList.BOUNCES, "soft": SuppressionList.BLOCKS, "own": SuppressionList.UNSUBSCRIBES}
    emails = {f"{name}_{days}": f"{name}{days}@example.com" for name in lists for days in (4, 6, 12)}

    async def purged(name: str, limit: int = 100, **purge: Any) -> tuple[int, set[str]]:
        tenant = await a_tenant(journal, name)
        await journal.suppressions.add(
            [
                entry(tenant, email, lists[name.split("_")[0]], days=float(name.split("_")[1]))
                for name, email in emails.items()
            ]
        )
        settings = BouncePurge(**purge)
        await journal.tenants.change_settings(tenant, lambda own: replace(own, bounce_purge=settings))
        removed = await journal.suppressions.purge_bounces(limit)
        return removed, set(emails) - await left(journal, tenant, **emails)

    assert await purged("off", hard_bounces=5, soft_bounces=5) == (0, set())
    assert await purged("never", enabled=True) == (0, set())
    assert await purged("hard", enabled=True, hard_bounces=5) == (2, {"hard_6", "hard_12"})
    assert await purged("both", enabled=True, hard_bounces=10, soft_bounces=5) == (3, {"hard_12", "soft_6", "soft_12"})
    removed, _ = await purged("parts", 1, enabled=True, hard_bounces=5, soft_bounces=5)
    assert removed == 1
