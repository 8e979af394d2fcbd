"""Policies in the journal: checked as a whole, sealed where they may hold passwords, stored once."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from msgspec.structs import replace

from cluster.journal.journal import Journal
from cluster.policies import BadPolicies, PolicyFiles, base_limits, put_in_force, rate_of, read_files
from cluster.policy.limits.quantities import Rate
from cluster.settings import DeliverySettings
from cluster.vault import Vault, WrongKey

SETTINGS = DeliverySettings(connections_per_site=7, messages_per_s_per_site=0.5, lifetime_s=60)
SHAPING = '[[rule]]\nname = "slow"\nsite = "a.example"\nconnections = 3\n'
ROUTING = '[[routes]]\nvia = "relay"\nrelay = "smart.example:587"\nusername = "u"\npassword = "hunter2"\n'


async def put(journal: Journal, vault: Vault, shaping: str, routing: str = "") -> int | None:
    return await put_in_force(journal, vault, SETTINGS, shaping, routing)


async def test_what_is_in_force_already_is_not_stored_again(journal: Journal) -> None:
    vault = Vault(Fernet.generate_key().decode())
    assert await put(journal, vault, "") is None
    first = await put(journal, vault, SHAPING, ROUTING)
    assert first is not None
    assert await put(journal, vault, SHAPING, ROUTING) is None
    second = await put(journal, vault, "", "")
    assert second is not None and second > first
    assert await put(journal, vault, "") is None


async def test_passwords_are_sealed(journal: Journal) -> None:
    vault = Vault(Fernet.generate_key().decode())
    await put(journal, vault, "", ROUTING)
    policies = await journal.policies.active()
    assert policies is not None
    assert b"hunter2" not in policies.routing
    assert vault.open(policies.routing).decode() == ROUTING
    with pytest.raises(WrongKey):
        await put(journal, Vault(Fernet.generate_key().decode()), SHAPING)


@pytest.mark.parametrize(("shaping", "routing", "named"), [("x = 1", "", "shaping"), (SHAPING, "x = 1", "routing")])
async def test_nothing_is_stored_of_what_is_half_right(
    journal: Journal, shaping: str, routing: str, named: str
) -> None:
    with pytest.raises(BadPolicies) as caught:
        await put(journal, Vault(Fernet.generate_key().decode()), shaping, routing)
    assert caught.value.file == named
    assert caught.value.args == (caught.value.file, caught.value.reason)
    assert await journal.policies.version() == 0


def test_files_need_not_be_there(tmp_path: Path) -> None:
    settings = replace(SETTINGS, shaping_file=str(tmp_path / "s.toml"), routing_file=str(tmp_path / "r.toml"))
    assert read_files(settings) == PolicyFiles("", "")
    (tmp_path / "s.toml").write_text(SHAPING, encoding="utf-8")
    assert read_files(settings) == PolicyFiles(SHAPING, "")
    (tmp_path / "r.toml").write_bytes(b"\xff")
    with pytest.raises(BadPolicies, match="cannot be read"):
        read_files(settings)


def test_the_settings_hold_where_no_rule_says_anything() -> None:
    limits = base_limits(SETTINGS)
    assert (limits.connections, limits.lifetime_s, limits.message_rate) == (7, 60, Rate(1, 2.0))
    assert rate_of(0) is None
    assert rate_of(250) == Rate(250, 1.0)
