"""Operators read and change the suppression lists of tenants, also by CSV files."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.importing import ListImporter
from tests.integration.journal.builders import a_tenant
from tests.integration.operating.conftest import Postray


@pytest.fixture
async def acme(postray: Postray) -> AsyncIterator[str]:
    """A tenant; what is uploaded is worked in."""
    tenant_id = await a_tenant(postray.journal, "acme")
    importer = ListImporter(postray.journal)

    async def work() -> None:
        while True:
            await importer.round()
            await asyncio.sleep(0.01)

    worker = asyncio.create_task(work())
    yield tenant_id
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker


async def test_lists_are_read_and_changed(postray: Postray, acme: str, tmp_path: Path) -> None:
    assert await postray.json("suppressions", "add", "acme", "bounces", "ada@example.com", "bob@example.com") == {
        "changed": 2
    }
    assert await postray.said("suppressions", "remove", acme, "bounces", "BOB@example.com", "no@example.com") == (
        "1 removed"
    )
    listed = await postray.json("suppressions", "list", "acme", "bounces", "--email", "ada")
    assert [one["email"] for one in listed] == ["ada@example.com"]
    assert "ada@example.com" in await postray.said("suppressions", "list", "acme", "bounces")
    assert "no such address" in await postray.said("suppressions", "list", "acme", "blocks")

    file = tmp_path / "list.csv"
    file.write_text("email,reason\nada@example.com,\neve@example.com,550 no\n", encoding="utf-8")
    done = await postray.json("suppressions", "import", "acme", "bounces", str(file))
    assert (done["status"], done["added"], done["known"]) == ("done", 1, 1)
    file.write_text("email\nfaulty\n", encoding="utf-8")
    faulty = await postray.run("suppressions", "import", "acme", "bounces", str(file))
    assert faulty.exit_code == 1 and "line 2: This is not an email address" in faulty.output

    copy = tmp_path / "copy.csv"
    await postray.said("suppressions", "export", "acme", "bounces", str(copy))
    lines = copy.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "email,created,reason,status"
    assert sorted(line.partition(",")[0] for line in lines[1:]) == ["ada@example.com", "eve@example.com"]


async def test_a_purge_that_finds_nothing_says_whether_there_is_such_a_rule(postray: Postray) -> None:
    mistyped = await postray.said("suppressions", "purge", "--rule", "code-mailbocks", "--since", "2d", "--dry-run")
    assert "0 matched" in mistyped and "code-mailbox" in mistyped
    known = await postray.said("suppressions", "purge", "--rule", "code-mailbox", "--since", "2d")
    assert known == "0 matched, 0 deleted"


async def test_faults_are_said(postray: Postray, acme: str, tmp_path: Path) -> None:
    other = await postray.run("suppressions", "list", "other", "bounces")
    assert other.exit_code == 1 and "other" in other.output
    no_address = await postray.run("suppressions", "add", "acme", "bounces", "ada")
    assert no_address.exit_code == 1 and "emails[0]: This is not an email address" in no_address.output
    file = tmp_path / "list.csv"
    file.write_text("ada@example.com\n", encoding="utf-8")
    headless = await postray.run("suppressions", "import", "acme", "bounces", str(file))
    assert headless.exit_code == 1 and "must name the columns" in headless.output
    missing = await postray.run("suppressions", "import", "acme", "bounces", str(tmp_path / "missing.csv"))
    assert missing.exit_code == 1 and "does not exist" in missing.output
