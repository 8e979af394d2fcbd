"""``postray export``: all that a tenant has, nothing of another, and on where it was interrupted."""

import json
import os
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import chdb
import httpx
import pytest

from analytics.feed import START, FedEvent, FeedPage
from analytics.rows import COLUMNS
from api.admin import exporting
from cluster.commands.instance import Instance
from cluster.events import Opened
from cluster.journal.suppressions import NewSuppression
from cluster.keys import operator_token
from cluster.suppression.lists import SuppressionList
from cluster.vault import secret_key
from tests.domains import a_domain
from tests.integration.journal.builders import a_message, a_request, a_tenant
from tests.integration.operating.conftest import Postray
from tests.integration.webhooks.builders import an_endpoint
from tests.unit.analytics.samples import blocked, every_kind


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """The command begins with the usual umask, and what it sets is not that of other tests."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def rows(out: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


async def filled(postray: Postray, name: str, messages: int) -> list[str]:
    """A tenant with messages, entries of lists, and a group; the ids of its messages."""
    tenant = await a_tenant(postray.journal, name)
    made = [a_message(f"{name}{number}@example.com") for number in range(messages)]
    await postray.journal.intake.accept([a_request(tenant, *made)])
    entries = [
        NewSuppression(
            tenant_id=tenant, email=f"{name}@example.com", list=list, created_at=datetime.now(UTC), reason="x"
        )
        for list in (SuppressionList.BOUNCES, SuppressionList.UNSUBSCRIBES)
    ]
    await postray.journal.suppressions.add(entries)
    await postray.journal.suppression_groups.create(tenant, "news", "", is_default=False)
    await postray.journal.templates.create(tenant, "welcome", "dynamic")
    return [one.id for one in made]


async def test_all_of_a_tenant_and_nothing_of_another(
    postray: Postray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "MESSAGES", 2)
    monkeypatch.setattr(exporting, "PAGE", 1)
    ids = await filled(postray, "acme", 5)
    await filled(postray, "other", 3)
    fed = [FedEvent(f"1-{number}-x", number, event) for number, event in enumerate(every_kind())]

    postray.webhooks.pages = {
        START: FeedPage(fed[:4], "1-3-x", is_full=True),
        "1-3-x": FeedPage(fed[4:], "1-9-x", is_full=False),
    }
    out = tmp_path / "out"
    said = await postray.said(
        "export", "acme", "--out", str(out), "--what", "messages,events,suppressions,groups,templates"
    )
    assert "messages.jsonl 5 rows" in said
    assert [row["id"] for row in rows(out, "messages")] == ids
    assert rows(out, "messages")[0]["plain_content"] == "Hello" and "events" not in rows(out, "messages")[0]
    assert {(row["list"], row["email"]) for row in rows(out, "suppressions")} == {
        ("bounces", "acme@example.com"),
        ("unsubscribes", "acme@example.com"),
    }
    assert [row["event_id"] for row in rows(out, "events")] == [one.event.id for one in fed]
    assert [row["name"] for row in rows(out, "groups")] == ["news"]
    assert [row["template"] for row in rows(out, "templates")] == ["welcome"]
    text = "".join(path.read_text(encoding="utf-8") for path in out.iterdir())
    assert "other" not in text
    asked = [arguments[0].tenant_id for _, method, *arguments in postray.webhooks.asked if method == "feed"]
    assert asked == [await postray.journal.tenants.named("acme")] * 2
    # The same again changes nothing.
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    await postray.said("export", "acme", "--out", str(out), "--what", "messages,events,suppressions,groups,templates")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert "choose another folder" in await postray.refused("export", "other", "--out", str(out))


async def test_domains_webhooks_and_settings_without_secrets(postray: Postray, tmp_path: Path) -> None:
    await filled(postray, "acme", 1)
    tenant = await postray.journal.tenants.named("acme")
    assert tenant is not None
    await a_domain(postray.journal, tenant, "mail.acme.example", sealed_private_key=b"private")
    endpoint = await an_endpoint(postray.journal, tenant)
    out = tmp_path / "out"
    await postray.said("export", "acme", "--out", str(out), "--what", "domains,webhooks,settings")
    [domain] = rows(out, "domains")
    assert domain["domain"] == "mail.acme.example"
    assert set(domain["keys"][0]) == {"algorithm", "selector", "state", "public_key"}
    [hook] = rows(out, "webhooks")
    assert hook["id"] == endpoint and "signing_secret" not in hook
    [row] = rows(out, "settings")
    assert (row["id"], row["name"], row["settings"]["time_zone"]) == (tenant, "acme", "UTC")
    assert {"messages_per_s", "by_operator", "own"} <= set(row["limits"])
    parquet = tmp_path / "parquet"
    what = ("--what", "domains,webhooks,settings", "--format", "parquet")
    await postray.said("export", "acme", "--out", str(parquet), *what)
    for name, column in (("domains", "domain"), ("webhooks", "url"), ("settings", "name")):
        query = f"SELECT count() FROM file('{parquet / name}.parquet') WHERE {column} <> ''"
        assert str(chdb.query(query)).strip() == "1"


async def test_it_goes_on_where_it_was_interrupted(
    postray: Postray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "MESSAGES", 2)
    ids = await filled(postray, "acme", 7)
    get, asked = Instance.get, list[str]()

    def interrupted(self: Instance, path: str, **query: Any) -> Any:
        asked.append(path)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return get(self, path, **query)

    out = tmp_path / "out"
    monkeypatch.setattr(Instance, "get", interrupted)
    assert (await postray.run("export", "acme", "--out", str(out), "--what", "messages")).exit_code != 0
    assert [row["id"] for row in rows(out, "messages")] == ids[:4]
    with (out / "messages.jsonl").open("ab") as file:
        file.write(b'{"id": "half of a pa')
    await a_later_message(postray)
    assert "7 rows" in await postray.said("export", "acme", "--out", str(out), "--what", "messages")
    assert [row["id"] for row in rows(out, "messages")] == ids
    assert len(asked) == 5


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
async def test_what_is_noted_is_on_disk_before(
    postray: Postray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    monkeypatch.setattr(exporting, "MESSAGES", 2)
    await filled(postray, "acme", 5)
    sync, synced, notes = os.fsync, dict[str, int](), list[int]()

    def noticed(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.name.startswith(".export.json."):
            noted = json.loads(path.read_bytes())["parts"]["messages"]["size"]
            assert noted == synced["messages.jsonl"]
            notes.append(noted)
        sync(descriptor)
        synced[path.name] = path.stat().st_size

    monkeypatch.setattr(os, "fsync", noticed)
    out = tmp_path / "out"
    await postray.said("export", "acme", "--out", str(out), "--format", format, "--what", "messages")
    assert len(notes) == 3 and notes == sorted(set(notes))
    assert synced[f"messages.{format}"] == (out / f"messages.{format}").stat().st_size


async def test_events_are_rows_of_the_table_of_events(postray: Postray, tmp_path: Path) -> None:
    """Each has every column, in JSON Lines and in Parquet, with the values that SQL answers."""
    await filled(postray, "acme", 1)
    block = blocked(id="evt_block", tenant_id="tnt_1", message_id="msg_1", recipient="a@B.example")
    opened = Opened(
        id="evt_open",
        at=1_775_001_600.25,
        tenant_id="tnt_1",
        message_id="msg_1",
        recipient="a@b.example",
        ip="203.0.113.42",
        user_agent="Mozilla/5.0",
        machine="prefetch",
    )
    fed = [FedEvent(f"1-{number}-x", number, event) for number, event in enumerate([*every_kind(), block, opened])]
    postray.webhooks.pages = {START: FeedPage(fed, "1-9-x", is_full=False)}
    for format in ("jsonl", "parquet"):
        await postray.said("export", "acme", "--out", str(tmp_path / format), "--format", format, "--what", "events")
    written = rows(tmp_path / "jsonl", "events")
    names = [name for name in COLUMNS if name not in ("tenant_id", "log_tx")]
    assert all(list(row) == names for row in written)
    by_id = {row["event_id"]: row for row in written}
    assert by_id["evt_block"]["event"] == "blocked" and by_id["evt_block"]["recipient_domain"] == "b.example"
    assert by_id["evt_open"]["at"] == "2026-04-01T00:00:00.250Z" and by_id["evt_open"]["next_attempt_at"] is None
    assert by_id["evt_open"]["machine"] is True and by_id["evt_open"]["machine_rule"] == "prefetch"
    of_parquet = chdb.query(
        f"SELECT * FROM file('{tmp_path / 'parquet' / 'events.parquet'}', 'Parquet') "
        "SETTINGS date_time_output_format = 'iso', output_format_json_quote_64bit_integers = 0",
        "JSONEachRow",
    )
    assert [json.loads(line) for line in str(of_parquet).splitlines()] == written


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
async def test_only_the_owner_may_read_the_files(postray: Postray, tmp_path: Path, format: str) -> None:
    await filled(postray, "acme", 1)
    out = tmp_path / "out"
    out.mkdir()
    await postray.said("export", "acme", "--out", str(out), "--format", format, "--what", "messages,groups")
    made = {path.name: stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()}
    assert made[f"messages.{format}"] == 0o600 and set(made.values()) == {0o600}


async def test_what_is_there_only_in_part_is_written_again(
    postray: Postray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a power failure, when the file lost what was noted."""
    ids = await filled(postray, "acme", 3)
    arguments = ("export", "acme", "--out", str(tmp_path), "--what", "messages,templates")
    await postray.said(*arguments)
    whole = (tmp_path / "messages.jsonl").read_bytes()
    (tmp_path / "messages.jsonl").write_bytes(whole[:-10])
    (tmp_path / "templates.jsonl").unlink()
    await postray.said(*arguments)
    assert (tmp_path / "messages.jsonl").read_bytes() == whole
    assert [row["id"] for row in rows(tmp_path, "messages")] == ids and rows(tmp_path, "templates")
    with_parquet = (*arguments[:3], str(tmp_path / "parquet"), *arguments[4:], "--format", "parquet")
    await postray.said(*with_parquet)
    (tmp_path / "parquet" / "messages.parquet").unlink()
    await postray.said(*with_parquet)
    assert (tmp_path / "parquet" / "messages.parquet").exists()


async def test_an_export_that_is_complete_says_so(postray: Postray, tmp_path: Path) -> None:
    await filled(postray, "acme", 1)
    arguments = ("export", "acme", "--out", str(tmp_path), "--what", "messages")
    assert "choose another folder" not in await postray.said(*arguments)
    assert "choose another folder for what is newer" in await postray.said(*arguments)


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
async def test_a_file_that_cannot_be_written_is_an_error_in_words(
    postray: Postray, tmp_path: Path, format: str
) -> None:
    await filled(postray, "acme", 1)
    (tmp_path / f"messages.{format}").mkdir()
    said = await postray.refused("export", "acme", "--out", str(tmp_path), "--format", format, "--what", "messages")
    assert f"messages.{format}" in said and "the same command goes on" in said


async def a_later_message(postray: Postray) -> None:
    """It is after the time until which the export goes."""
    tenant = await postray.journal.tenants.named("acme")
    assert tenant is not None
    await postray.journal.intake.accept([a_request(tenant, a_message())])


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's time zone is nine hours ahead of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


async def test_a_time_without_a_zone_is_utc(postray: Postray, in_tokyo: None) -> None:
    ids = await filled(postray, "acme", 1)
    until = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None)
    headers = {"Authorization": f"Bearer {operator_token(secret_key('', postray.data_dir))}"}
    async with httpx.AsyncClient(base_url=postray.url, headers=headers) as http:
        page = await http.get("/api/admin/tenants/acme/export/messages", params={"until": until.isoformat()})
    assert [row["id"] for row in page.json()["rows"]] == ids


async def test_parquet(postray: Postray, tmp_path: Path) -> None:
    ids = await filled(postray, "acme", 3)
    out = tmp_path / "it's"
    await postray.said("export", "acme", "--out", str(out), "--format", "parquet", "--what", "messages,suppressions")
    assert sorted(path.name for path in out.iterdir()) == ["export.json", "messages.parquet", "suppressions.parquet"]
    path = str(out / "messages.parquet").replace("'", "\\'")
    answer = chdb.query(
        f"SELECT id, to_emails, toYear(created_at) FROM file('{path}', 'Parquet') ORDER BY id", "JSONCompactEachRow"
    )
    found = [json.loads(line) for line in str(answer).splitlines()]
    assert [row[0] for row in found] == ids
    assert found[0][1] == ["acme0@example.com"] and found[0][2] == datetime.now(UTC).year


async def test_what_cannot_be_exported_is_said(postray: Postray, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert "keys; there are messages, events" in await postray.refused("export", "acme", "--out", out, "--what", "keys")
    assert "No tenant is known as nobody" in await postray.refused("export", "nobody", "--out", out)
