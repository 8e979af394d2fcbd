"""Following the active policy: each change is reported once, and none is lost."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest
from cryptography.fernet import Fernet

from cluster.journal.journal import Journal, Unavailable
from cluster.journal.policies import Policies
from cluster.journal.suspensions import InForce, Suspension
from cluster.journal.warm_up import WarmUpDay
from cluster.routing.active_policy import MISSED, ActivePolicy, PolicyChange
from cluster.settings import DeliverySettings
from cluster.vault import Vault

DAY = date(2026, 4, 3)
SHAPING = '[[rule]]\nname = "slow"\nsite = "example.com"\nconnections = 3\n'


def routing(per_day: str = "[10]") -> str:
    return (
        f'[sources.new]\naddress = "192.0.2.1"\nwarm_up = {{ started = {DAY}, per_day = {per_day} }}\n'
        '[sources.old]\naddress = "192.0.2.2"\n'
        "[pools]\ndefault = { new = 1, old = 1 }\nonly_new = { new = 1 }\n"
    )


class Operators:
    """The journal, as operators left it."""

    def __init__(self) -> None:
        self.vault = Vault(Fernet.generate_key().decode())
        self.version = 0
        self.policy: Policies | None = None
        self.suspended: dict[tuple[str, str], datetime] = {}
        self.used_up: list[WarmUpDay] = []
        self.is_down = self.has_no_warm_ups = False
        self.policies = SimpleNamespace(active=self._policy)
        self.suspensions = SimpleNamespace(in_force=self._in_force)
        self.warm_up = SimpleNamespace(exhausted=self._exhausted)

    def put(self, shaping: str = "", routing: str = "", vault: Vault | None = None) -> None:
        self.version += 1
        sealed = (vault or self.vault).seal(routing.encode())
        self.policy = Policies(version=self.version, shaping=shaping, routing=sealed)

    async def _in_force(self) -> InForce:
        if self.is_down:
            raise Unavailable("down")
        suspensions = [
            Suspension(site=site, tenant_id=tenant, until=until, reason="", made_by="operator", created_at=until)
            for (site, tenant), until in self.suspended.items()
        ]
        return InForce(self.version, suspensions)

    async def _policy(self) -> Policies | None:
        return self.policy

    async def _exhausted(self, day: object) -> list[WarmUpDay]:
        if self.has_no_warm_ups:
            raise Unavailable("down")
        return self.used_up


@pytest.fixture
def operators() -> Operators:
    return Operators()


@pytest.fixture
def active_policy(operators: Operators) -> ActivePolicy:
    return ActivePolicy(
        cast(Journal, operators), operators.vault, DeliverySettings(connections_per_site=7), today=lambda: DAY
    )


def later(hours: float = 1) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


async def test_before_anything_is_put_in_force_the_settings_hold(active_policy: ActivePolicy) -> None:
    assert not await active_policy.follow()
    assert active_policy.limits("example.com", "").connections == 7
    assert active_policy.source_of("", "msg_1", "example.com") == ""


async def test_policies_are_told_once(operators: Operators, active_policy: ActivePolicy) -> None:
    told: list[int] = []
    active_policy.on_policies(lambda: told.append(active_policy.version))
    operators.put(SHAPING)
    assert await active_policy.follow() == PolicyChange(policies=True)
    assert active_policy.limits("example.com", "").connections == 3
    assert not await active_policy.follow()
    assert told == [0, 1]


async def test_what_is_not_understood_changes_nothing(operators: Operators, active_policy: ActivePolicy) -> None:
    operators.put(SHAPING)
    await active_policy.follow()
    operators.put("no such key = 1")
    await active_policy.follow()
    operators.put("", vault=Vault(Fernet.generate_key().decode()))
    await active_policy.follow()
    assert active_policy.limits("example.com", "").connections == 3
    assert not await active_policy.follow()


async def test_suspensions_begin_change_and_end(operators: Operators, active_policy: ActivePolicy) -> None:
    key = ("example.com", "tnt_1")
    operators.suspended[key] = later()
    assert await active_policy.follow() == PolicyChange(begun=frozenset({key}))
    assert active_policy.suspended_until(*key) == operators.suspended[key]
    assert active_policy.suspended_until("example.com", "") is None
    assert not await active_policy.follow()
    operators.suspended[key] = later(2)
    assert await active_policy.follow() == PolicyChange(begun=frozenset({key}))
    del operators.suspended[key]
    assert await active_policy.follow() == PolicyChange(ended=frozenset({key}))
    assert active_policy.suspended_until(*key) is None


async def test_a_suspension_of_every_site_holds_for_each_and_the_longest_counts(
    operators: Operators, active_policy: ActivePolicy
) -> None:
    operators.suspended = {("", ""): later(1), ("example.com", ""): later(2), ("", "tnt_1"): later(3)}
    await active_policy.follow()
    assert active_policy.suspended_until("example.com", "") == operators.suspended["example.com", ""]
    assert active_policy.suspended_until("example.net", "") == operators.suspended["", ""]
    assert active_policy.suspended_tenants("example.net") == {"tnt_1"}
    operators.suspended = {("example.com", ""): later(-1)}
    await active_policy.follow()
    assert active_policy.suspended_until("example.com", "") is None, "what is over holds no longer"


async def test_what_a_source_in_warm_up_may_not_send_another_of_its_pool_does(
    operators: Operators, active_policy: ActivePolicy
) -> None:
    operators.put("", routing())
    await active_policy.follow()
    messages = [f"msg_{number}" for number in range(50)]
    assert {active_policy.source_of("", message, "example.com") for message in messages} == {"new", "old"}
    operators.used_up = [WarmUpDay(source="new", site="example.com", granted=10, cap=10)]
    await active_policy.follow()
    assert active_policy.is_exhausted("new", "example.com")
    assert {active_policy.source_of("", message, "example.com") for message in messages} == {"old"}
    assert {active_policy.source_of("", message, "example.net") for message in messages} == {"new", "old"}
    assert active_policy.source_of("only_new", "msg_1", "example.com") == "new", "it waits there for tomorrow"


async def test_a_raised_cap_is_more_to_ask_for(operators: Operators, active_policy: ActivePolicy) -> None:
    operators.put("", routing("[20]"))
    operators.used_up = [WarmUpDay(source="new", site="example.com", granted=10, cap=10)]
    await active_policy.follow()
    assert not active_policy.is_exhausted("new", "example.com")


async def test_a_change_is_told_though_the_journal_failed_half_way(
    operators: Operators, active_policy: ActivePolicy
) -> None:
    operators.put(SHAPING, routing())
    operators.suspended["example.com", ""] = later()
    operators.has_no_warm_ups = True
    with pytest.raises(Unavailable):
        await active_policy.follow()
    operators.has_no_warm_ups = False
    change = await active_policy.follow()
    assert change == PolicyChange(policies=True, begun=frozenset({("example.com", "")}))
    assert not await active_policy.follow()


async def test_a_source_that_is_no_more_leaves_everything_to_the_system(active_policy: ActivePolicy) -> None:
    source = active_policy.source("gone")
    assert (source.name, source.address_towards("192.0.2.9"), source.warm_up) == ("gone", None, None)


async def test_a_source_that_no_machine_has_is_passed_over(operators: Operators, active_policy: ActivePolicy) -> None:
    operators.put(routing=routing())
    await active_policy.follow()
    messages = [f"msg_{n}" for n in range(30)]
    here, everywhere = [["old"], []], [["old"], ["new"]]

    def leaves_from(pool: str = "") -> set[str]:
        return {active_policy.source_of(pool, message, "example.com") for message in messages}

    for _ in range(MISSED - 1):
        active_policy.sources_are(here)
        assert leaves_from() == {"new", "old"}, "its machine may not have looked yet"
    active_policy.sources_are(here)
    assert leaves_from() == {"old"}
    assert leaves_from("only_new") == {"new"}, "there is no other"
    said = "no machine has the addresses of new: passed over; mail of pools without another source waits: only_new"
    assert active_policy.readiness() == {"sources": f"degraded: {said}"}
    assert active_policy.uses("new")  # of a pool that has no other
    active_policy.sources_are(everywhere)
    assert leaves_from() == {"new", "old"}
    assert active_policy.readiness() == {"sources": None}
    for _ in range(MISSED):
        active_policy.sources_are([])
    assert leaves_from() == {"new", "old"}, "without machines nothing is known"


async def test_what_a_domain_lies_on_is_told_as_a_change(operators: Operators, active_policy: ActivePolicy) -> None:
    operators.put('[[rule]]\nname = "apart"\ndomain = "customer.example"\nconnections = 2\n')
    assert (await active_policy.follow()).policies
    assert active_policy.limits("customer.example", "").messages_per_connection == 1000
    active_policy.lies_on("customer.example", "google.com")
    assert active_policy.limits("customer.example", "").messages_per_connection == 100
    assert "google-rate" in [trigger.name for trigger in active_policy.triggers("customer.example", "")]
    assert (await active_policy.follow()).policies
    active_policy.lies_on("customer.example", "google.com")
    assert not await active_policy.follow()
