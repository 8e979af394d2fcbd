"""The store's bounds, its batches and its queries."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from actors.capture import store as store_module
from actors.capture.store import MessageStore
from cluster.message.return_address import beginning
from cluster.smtpd.envelope import ReceivedMessage

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def envelope(
    number: int = 0,
    subject: str = "",
    rcpt_to: tuple[str, ...] = ("b@example.org",),
    *,
    mail_from: str = "a@example.com",
    body: str = "body",
) -> ReceivedMessage:
    content = f"From: Ann <ann@example.com>\r\nSubject: {subject or f'number {number}'}\r\n\r\n{body}\r\n".encode()
    return ReceivedMessage(mail_from=mail_from, rcpt_to=rcpt_to, content=content, helo="x", peer="127.0.0.1:1")


@asynccontextmanager
async def opened(path: Path, keep_messages: int = 1000) -> AsyncIterator[MessageStore]:
    store = MessageStore(path / "capture" / "messages.sqlite3", keep_messages)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_messages=10) as store:
        ids = await asyncio.gather(*(store.add(envelope(i), NOW) for i in range(35)))
        page = await store.list_messages(page_size=50)
        assert ids == list(range(1, 36))
        assert [message.subject for message in page.messages] == [f"number {i}" for i in range(34, 24, -1)]
        assert page.total == await store.count() == 10
        assert store.queued == 0


async def test_it_outlives_the_process_and_never_reuses_an_id(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        assert await store.add(envelope(), NOW) == 1
        assert await store.raw(1) == envelope().content
    async with opened(tmp_path) as store:
        message = await store.get(1)
        assert message is not None and message.received_at == NOW and message.header_from == "Ann <ann@example.com>"
        assert await store.delete_all() == 1
        assert await store.delete_all() == 0
    async with opened(tmp_path) as store:
        assert await store.get(1) is None
        assert await store.add(envelope(), NOW) == 2


async def test_search_folds_case_beyond_ascii(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.add(envelope(subject="=?utf-8?q?=C3=84rger_100=25?="), NOW)
        await store.add(envelope(subject="other", rcpt_to=("Bob@Example.org", "carl@example.org")), NOW)
        for search, found in (("ärger", 1), ("100%", 1), ("_", 0), ("CARL@", 1), ("ann@", 2), ("'; --", 0), ("", 2)):
            assert (await store.list_messages(search=search)).total == found, search
        for recipient, found in (("bob@example.org", 1), ("ob@example.org", 0), ("carl@example.org", 1)):
            assert (await store.list_messages(recipient=recipient)).total == found, recipient


async def test_pages(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await asyncio.gather(*(store.add(envelope(i), NOW) for i in range(5)))
        pages = [await store.list_messages(page=number, page_size=2) for number in (1, 2, 3, 4)]
    assert [[message.id for message in page.messages] for page in pages] == [[5, 4], [3, 2], [1], []]
    assert {page.total for page in pages} == {5}


async def test_a_full_queue_says_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MAX_QUEUED", 3)
    async with opened(tmp_path) as store:
        # There is no await in between, so none of them can be settled yet.
        waiting = [store.add(envelope(i), NOW) for i in range(5)]
        assert await asyncio.gather(*waiting) == [1, 2, 3, None, None]
        assert await store.add(envelope(), NOW) == 4
    assert await store.add(envelope(), NOW) is None  # closed


async def test_a_disk_that_fails_is_told_to_whoever_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(tmp_path) as store:
        saboteur = sqlite3.connect(tmp_path / "capture" / "messages.sqlite3")
        saboteur.execute("ALTER TABLE messages RENAME TO hidden")
        with pytest.raises(sqlite3.OperationalError):
            await store.add(envelope(), NOW)
        saboteur.execute("ALTER TABLE hidden RENAME TO messages")
        saboteur.close()
        assert await store.add(envelope(), NOW) == 1
    assert "could not be stored" in caplog.text


async def test_texts_are_searched_once_a_person_searches(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for number in range(45):  # more than are read at once
            await store.add(envelope(number, body=f"Dear\r\nAda, parcel {number} Grüße"), NOW)
        first = await store.list_messages(page_size=2)
        assert [message.snippet for message in first.messages] == [None, None]  # storing reads no contents
        for search, found in (("DEAR ADA", 45), ("parcel 7", 1), ("grüsse", 45), ("number 3", 11), ("no such", 0)):
            page = await store.list_messages(search=search)
            assert (page.total, page.unsearched) == (found, 0), search
        impatient = await store.list_messages(search="parcel 7", patience_s=0)
        assert (impatient.total, impatient.unsearched) == (1, 0)
        await store.add(envelope(body="parcel 7"), NOW)
        impatient = await store.list_messages(search="parcel 7", patience_s=0)
        assert (impatient.total, impatient.unsearched) == (1, 1)


async def test_snippets_are_made_for_what_is_shown(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await asyncio.gather(*(store.add(envelope(i, body=f"text {i}"), NOW) for i in range(5)))
        page = await store.list_messages(page_size=2, with_digests=True)
        assert [message.snippet for message in page.messages] == ["text 4", "text 3"]
        everything = await store.list_messages()
        assert [message.snippet for message in everything.messages] == ["text 4", "text 3", None, None, None]


async def test_one_is_deleted(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_messages=3) as store:
        await asyncio.gather(*(store.add(envelope(i), NOW) for i in range(3)))
        await store.list_messages(with_digests=True)
        await store.mark_read(2)
        assert await store.delete(2)
        assert [await store.delete(id_) for id_ in (2, 0, -1, 2**70)] == [False, False, False, False]
        assert [message.id for message in (await store.list_messages()).messages] == [3, 1]
        await store.add(envelope(), NOW)
        assert [message.id for message in (await store.list_messages()).messages] == [4, 3]
    file = sqlite3.connect(tmp_path / "capture" / "messages.sqlite3")
    assert file.execute("SELECT id FROM digests ORDER BY id").fetchall() == [(3,)]
    assert file.execute("SELECT id FROM opened").fetchall() == []
    file.close()


async def test_unread(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await asyncio.gather(*(store.add(envelope(i), NOW) for i in range(3)))
        for _ in range(2):
            await store.mark_read(2)
        await store.mark_read(99)
        page = await store.list_messages()
        assert [message.unread for message in page.messages] == [True, False, True]
        assert page.unread == 2
    async with opened(tmp_path) as store:
        assert (await store.list_messages()).unread == 2


async def test_the_envelope_sender_names_the_message(tmp_path: Path) -> None:
    message_id = "msg_01K9ZQ4G8V2N7R5T0XWJ3C6DEF"
    senders = (
        f"{beginning(message_id)}@bounces.example.com",
        "b+01k9zq4g8v2n7r5t0xwj3c6deg@x",
        "a@example.com",
        "b+short@x",
        "b+91k9zq4g8v2n7r5t0xwj3c6def@x",
        "",
    )
    async with opened(tmp_path) as store:
        for sender in senders:
            await store.add(envelope(mail_from=sender), NOW)
        names = [message.message_id for message in (await store.list_messages()).messages]
        assert names == ["", "", "", "", "msg_01K9ZQ4G8V2N7R5T0XWJ3C6DEG", message_id]
        for of, found in ((message_id, [1]), (message_id.lower(), []), ("msg_", []), ("%", [])):
            assert [message.id for message in (await store.list_messages(of=of)).messages] == found, of


async def test_mail_of_the_version_before_is_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.add(envelope(), NOW)
    before = sqlite3.connect(tmp_path / "capture" / "messages.sqlite3")
    before.executescript("DROP TABLE digests; DROP TABLE opened; PRAGMA user_version = 1")
    before.close()
    async with opened(tmp_path) as store:
        [message] = (await store.list_messages(search="body")).messages
        assert (message.id, message.unread) == (1, False)
        assert await store.add(envelope(), NOW) == 2


async def test_a_file_of_another_version_is_emptied(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.add(envelope(), NOW)
    other = sqlite3.connect(tmp_path / "capture" / "messages.sqlite3")
    other.execute("PRAGMA user_version = 99")
    other.close()
    async with opened(tmp_path) as store:
        assert await store.count() == 0
