"""The rotation of the secret: each of its steps, killed at any moment, leaves what opens everything."""

import asyncio
import json
import os
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from click.testing import CliRunner
from cryptography.fernet import Fernet
from psycopg import AsyncConnection

from api.admin.access import Operators
from api.http.refusals import Unauthenticated
from cluster.cli import main
from cluster.commands.instance import Instance
from cluster.context import Context
from cluster.doctor.checks import CHECKS
from cluster.doctor.findings import FindingState, Installation
from cluster.installation import running
from cluster.installation.own_python import run_module
from cluster.installation.private_files import Unsafe
from cluster.installation.rotation import ACCEPTED, MOST_FORMER, TooManyFormer, rotate, settle
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.sealed import SEALED, SealedColumn
from cluster.keys import operator_token
from cluster.resealing import seal_anew
from cluster.settings import PostgresSettings, Settings
from cluster.vault import FILE, FormerKey, KeyRing, Vault, WrongKey, find_ring, find_secret, secret_key
from tests.domains import a_domain
from tests.integration.operating.conftest import Postray
from tests.integration.operating.killed_while_rotating import Killed
from tests.integration.webhooks.builders import an_endpoint

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 4, 23, 10, 0, tzinfo=UTC)
NOT_SEALED = {
    "api_keys.hash",
    "attachments.content",
    "attachments.sha256",
    "console_sessions.hash",
    "console_sessions.token_hash",
    "event_log.events",
    "idempotency_keys.body_sha256",
    "image_files.content",
    "image_files.sha256",
    "images.file",
    "images.thumbnail",
    "mail_in.digest",
    "mail_in.original",
    "messages.personal",
    "operator_tokens.hash",
    "requests.content",
    "staying_files.sha256",
    "suppression_import_chunks.content",
    "suppression_imports.state",
    "requests.told",
    "messages.told",
    "webhook_bundles.events",
    "template_texts.sha256",
    "template_texts.texts",
    "template_versions.texts",
    "tenant_demand.demands",
    "site_assignment.assignment",
    "delivery_loads.load",
    "suppression_keys.key",
}
"""The other columns of bytes."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    secret_key("", tmp_path)
    return tmp_path


def ring_of(folder: Path) -> KeyRing:
    ring = find_ring("", "", folder)
    assert ring is not None
    return ring


def former(ring: KeyRing) -> frozenset[str]:
    return frozenset(one.key for one in ring.former)


# The file


def test_a_former_secret_stays_until_all_is_sealed_anew_and_a_day_longer(folder: Path) -> None:
    first = secret_key("", folder)
    ring = rotate(folder)
    assert ring is not None and ring == ring_of(folder)
    assert ring.current != first and ring.former == (FormerKey(first),)
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600
    sealed = Vault(first).seal(b"x")
    assert ring.vault().open(sealed) == b"x" and not ring.vault().is_current(sealed)
    settle(folder, frozenset(), NOW)
    assert ring_of(folder) == ring  # nothing was sealed anew
    settle(folder, former(ring), NOW)
    assert ring_of(folder).former == (FormerKey(first, NOW + ACCEPTED),)
    settle(folder, former(ring), NOW + ACCEPTED - timedelta(seconds=1))
    assert len(ring_of(folder).former) == 1
    rotate(folder)  # a postray that runs knows nothing of this one
    settle(folder, former(ring), NOW + ACCEPTED)
    assert ring_of(folder).former == (FormerKey(ring.current),)


def test_rotations_before_a_start_keep_every_secret(folder: Path) -> None:
    keys = [secret_key("", folder)]
    for _ in range(MOST_FORMER):
        rotate(folder)
        keys.insert(0, secret_key("", folder))
    ring = ring_of(folder)
    assert [ring.current, *(one.key for one in ring.former)] == keys
    with pytest.raises(TooManyFormer):
        rotate(folder)
    assert ring_of(folder) == ring


@pytest.mark.parametrize("line", ["x", "former x", "former", f"previous {'A' * 43}=", f"former {'A' * 43}= until noon"])
def test_a_damaged_file_is_refused(folder: Path, line: str) -> None:
    with (folder / FILE).open("a", encoding="ascii") as file:
        file.write(f"\n{line}\n")
    for use in (lambda: find_secret("", folder), lambda: rotate(folder), lambda: settle(folder, frozenset(), NOW)):
        with pytest.raises(Unsafe, match="malformed"):
            use()


def test_what_the_settings_say_wins_and_the_previous_one_is_added(folder: Path) -> None:
    one, two = (Fernet.generate_key().decode() for _ in range(2))
    assert find_ring(one, two, folder) == KeyRing(one, (FormerKey(two),))
    assert find_ring("", two, folder) == KeyRing(secret_key("", folder), (FormerKey(two),))
    assert find_ring("", "", folder / "none") is None
    assert rotate(folder / ".") is not None


@pytest.mark.parametrize("step", ["rotate", "settle", "drop"])
def test_a_kill_at_any_moment_leaves_a_file_that_opens_everything(folder: Path, step: str) -> None:
    first = secret_key("", folder)
    sealed = Vault(first).seal(b"x")
    now = NOW
    if step != "rotate":
        rotate(folder)
    if step == "drop":
        settle(folder, former(ring_of(folder)), NOW)
        sealed = Vault(secret_key("", folder)).seal(b"x")  # all was sealed anew
        now = NOW + ACCEPTED
    name = "rotate" if step == "rotate" else "settle"
    command = run_module("tests.integration.operating.killed_while_rotating", str(folder), name, now.isoformat())
    ran = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60)
    assert ran.returncode == 0, ran.stderr.decode()
    killed = msgspec.json.decode(ran.stdout, type=list[Killed])
    assert len(killed) > 3 and len({one.text for one in killed[:-1]}) >= 1
    assert killed[0].text != killed[-1].text
    for one in killed:
        (folder / FILE).write_text(one.text, encoding="ascii")
        assert ring_of(folder).vault().open(sealed) == b"x", one


def test_a_full_disk_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / FILE).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cluster.installation.private_files.os.fsync", full)
    result = CliRunner().invoke(main, ["secret", "rotate"], env={"POSTRAY_DATA_DIR": str(folder)})
    assert (result.exit_code, "is as it was: No space left" in result.output) == (1, True)
    assert (folder / FILE).read_bytes() == before
    assert [path.name for path in folder.iterdir()] == [FILE]


# The command


def test_the_command_without_a_running_postray(folder: Path) -> None:
    environ = {"POSTRAY_DATA_DIR": str(folder)}
    first = secret_key("", folder)
    said = CliRunner().invoke(main, ["secret", "rotate"], env=environ)
    assert said.exit_code == 0 and "from the next start on" in said.output
    assert ring_of(folder).former == (FormerKey(first),)
    assert not any(key in said.output for key in (first, ring_of(folder).current))
    shown = json.loads(CliRunner().invoke(main, ["secret", "rotate", "--json"], env=environ).output)
    assert shown == {"rotated": True, "file": str(folder / FILE), "restart": False}
    for other in ({"POSTRAY_DATA_DIR": str(folder / "none")}, {"POSTRAY_DATA_DIR": str(folder / "empty")}):
        (folder / "empty").mkdir(exist_ok=True)
        refused = CliRunner().invoke(main, ["secret", "rotate"], env=other)
        assert refused.exit_code == 1 and "postray up makes it" in refused.output
    (folder / FILE).unlink()
    (folder / FILE).symlink_to("/etc/passwd")
    refused = CliRunner().invoke(main, ["secret", "rotate"], env=environ)
    assert refused.exit_code == 1 and "is a link" in refused.output


def test_the_postray_of_a_cluster_runs_without_a_command(folder: Path) -> None:
    secret_key("", folder)
    run = running.Run(pid=1, url="http://127.0.0.1:1", page="", processes=[])
    running.write_run(folder, run)
    here = {"POSTRAY_DATA_DIR": str(folder)}
    cluster = here | {"POSTRAY_RAY_ADDRESS": "127.0.0.1:1", "POSTRAY_POSTGRES_DSN": "postgresql://127.0.0.1/p"}
    for environ, restart in ((here, False), (cluster, True)):
        result = CliRunner().invoke(main, ["secret", "rotate", "--json"], env=environ)
        assert json.loads(result.stdout)["restart"] is restart
        assert ("not noted" in result.stderr) is restart  # there is no journal here


def test_a_configured_secret_is_the_operators_to_change(folder: Path) -> None:
    before = (folder / FILE).read_bytes()
    environ = {"POSTRAY_DATA_DIR": str(folder), "POSTRAY_SECRET": Fernet.generate_key().decode()}
    said = CliRunner().invoke(main, ["secret", "rotate"], env=environ)
    assert said.exit_code == 0 and "previous_secret" in said.output
    assert environ["POSTRAY_SECRET"] not in said.output
    shown = json.loads(CliRunner().invoke(main, ["secret", "rotate", "--json"], env=environ).output)
    Vault(shown["secret"])
    assert shown["rotated"] is False and (folder / FILE).read_bytes() == before


async def test_commands_reach_a_postray_that_runs_since_before_the_rotation(postray: Postray) -> None:
    assert "Restart" in await postray.said("secret", "rotate")
    assert await postray.said("suspend") == "nothing is suspended"
    assert (await postray.json("suspend", "--all", "--for", "1m"))["suspensions"]
    (postray.data_dir / FILE).write_bytes(Fernet.generate_key())
    assert "revoked" in await postray.refused("suspend")


async def test_a_token_of_a_former_secret_is_accepted_until_its_time() -> None:
    now = NOW
    former_tokens = [(operator_token("b"), NOW + ACCEPTED), (operator_token("c"), None)]
    operators = Operators(operator_token("a"), cast(Journal, None), former_tokens, clock=lambda: now)
    for accepted in "abc":
        await operators.check(f"Bearer {operator_token(accepted)}")
    now = NOW + ACCEPTED
    await operators.check(f"Bearer {operator_token('c')}")
    for refused in "bd":
        with pytest.raises(Unauthenticated):
            await operators.check(f"Bearer {operator_token(refused)}")
    assert Instance("http://127.0.0.1", "a", "b")


# The journal


async def sealed_with(journal: Journal, vault: Vault, count: int) -> None:
    tenant = await journal.tenants.create("acme")
    for number in range(count):
        await a_domain(journal, tenant, f"a{number}.example", sealed_private_key=vault.seal(b"%d" % number))
        await journal.policies.activate("", vault.seal(b"%d" % number))


async def all_sealed(journal: Journal) -> list[bytes]:
    return [value.content for column in SEALED for value in await journal.sealed.newest(column, 100)]


async def test_every_column_of_bytes_is_known_as_sealed_or_not(journal: Journal, journal_dsn: str) -> None:
    """A new one belongs into SEALED, or above."""
    async with await AsyncConnection.connect(journal_dsn) as connection:
        cursor = await connection.execute(
            "SELECT relname || '.' || attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid "
            "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition "
            "AND attnum > 0 AND atttypid IN ('bytea'::regtype, 'bytea[]'::regtype)"
        )
        found = {name for (name,) in await cursor.fetchall()}
    assert found == NOT_SEALED | {f"{one.table}.{one.column}" for one in SEALED}


class DiesAfter(Journal):
    """A journal that goes away after some replacements."""

    def __init__(self, dsn: str, pages: int) -> None:
        super().__init__(dsn, application="dies")
        replace = self.sealed.replace

        async def counted(column: SealedColumn, values: Sequence[tuple[int, bytes, bytes]]) -> int:
            nonlocal pages
            if pages == 0:
                raise Unavailable("killed")
            pages -= 1
            return await replace(column, values)

        self.sealed.replace = counted  # type: ignore[method-assign]


async def test_everything_is_sealed_anew_and_an_end_between_two_pages_loses_nothing(
    journal: Journal, journal_dsn: str
) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    await sealed_with(journal, Vault(old), 3)
    both = Vault(new, old)
    for pages in range(4):
        dying = DiesAfter(journal_dsn, pages=1 if pages else 0)
        await dying.open()
        with pytest.raises(Unavailable):
            await seal_anew(dying, both, page_size=1)
        await dying.close()
        contents = await all_sealed(journal)
        assert [both.open(content) for content in contents] == [b"2", b"1", b"0"] * 2
        assert [both.is_current(content) for content in contents].count(True) == pages
    assert (await seal_anew(journal, both, page_size=2)).changed == 3
    assert [Vault(new).open(content) for content in await all_sealed(journal)] == [b"2", b"1", b"0"] * 2
    assert (await seal_anew(journal, both)).changed == 0


async def test_the_secrets_of_webhooks_are_sealed_anew(journal: Journal) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    tenant_id = await journal.tenants.create("acme")
    sealed: dict[str, Any] = {
        name: Vault(old).seal(name.encode()) for name in ("sealed_secret", "sealed_former", "sealed_oauth")
    }
    webhook_id = await an_endpoint(journal, tenant_id, **sealed)
    await an_endpoint(journal, tenant_id)  # without any
    assert (await seal_anew(journal, Vault(new, old))).changed == 3
    endpoint = await journal.webhooks.of(tenant_id, webhook_id)
    assert {name: Vault(new).open(getattr(endpoint, name)) for name in sealed} == {n: n.encode() for n in sealed}


async def test_what_nothing_opens_is_named_and_left(journal: Journal) -> None:
    old, new, lost = (Fernet.generate_key().decode() for _ in range(3))
    await sealed_with(journal, Vault(old), 1)
    await sealed_lost(journal, lost)
    resealed = await seal_anew(journal, Vault(new, old))
    assert (resealed.changed, resealed.unopened) == (2, ["routing.toml, version 2"])
    left = [content for content in await all_sealed(journal) if not Vault(new).is_current(content)]
    assert [Vault(lost).open(content) for content in left] == [b"x"]


async def sealed_lost(journal: Journal, key: str) -> None:
    await journal.policies.activate("", Vault(key).seal(b"x"))


async def test_a_change_meanwhile_is_not_undone(journal: Journal) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    await sealed_with(journal, Vault(old), 1)
    column = SEALED[0]
    (value,) = await journal.sealed.newest(column, 1)
    changed = Vault(old).seal(b"another")
    assert await journal.sealed.replace(column, [(value.id, value.content, changed)]) == 1
    assert await journal.sealed.replace(column, [(value.id, value.content, Vault(new).seal(b"0"))]) == 0


async def test_doctor_says_where_a_rotation_is(folder: Path, journal: Journal, journal_dsn: str) -> None:
    settings = Settings(data_dir=str(folder), postgres=PostgresSettings(dsn=journal_dsn))
    first = secret_key("", folder)
    await sealed_with(journal, Vault(first), 2)

    async def said(installation: Installation) -> list[tuple[FindingState, str]]:
        found = await asyncio.to_thread(lambda: list(CHECKS["sealed"](installation)))
        return [(finding.state, finding.text) for finding in found]

    rotate(folder)
    waits, sealed, fine = await said(Installation(settings, ()))
    assert (waits[0], "once postray is restarted" in waits[1]) == (FindingState.WARNING, True)
    assert (sealed[0], sealed[1].startswith("3 values are sealed with a former")) == (FindingState.WARNING, True)
    assert fine[0] is FindingState.OK
    await seal_anew(journal, ring_of(folder).vault())
    settle(folder, former(ring_of(folder)), NOW)
    assert [state for state, _ in await said(Installation(settings, ()))] == [FindingState.OK]
    configured = msgspec.structs.replace(settings, secret=secret_key("", folder), previous_secret=first)
    assert "remove it" in (await said(Installation(configured, ())))[0][1]


def test_every_process_gets_the_former_secrets() -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    context = Context(
        name="api-0",
        node_id="n",
        settings=Settings(),
        data_dir="",
        postgres_dsn="",
        secret_key=new,
        former_secrets=(FormerKey(old, NOW),),
    )
    assert context.vault.open(Vault(old).seal(b"x")) == b"x"
    assert context.vault.is_current(context.vault.seal(b"x"))
    with pytest.raises(WrongKey):
        context.vault.open(Vault(Fernet.generate_key().decode()).seal(b"x"))
