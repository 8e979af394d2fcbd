"""The tables of captured mail in SQLite, and their rows. ``MessageStore`` reads and writes them."""

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from actors.capture import mime_view
from cluster.ids import is_id
from cluster.installation.private_files import make_folder
from cluster.message.return_address import beginning, message_of
from cluster.smtpd.envelope import ReceivedMessage

_SCHEMA_VERSION = 2
_MESSAGES = """
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice, so that an address of the page keeps its meaning
    received_at REAL NOT NULL,
    mail_from TEXT NOT NULL,
    rcpt_to TEXT NOT NULL,                 -- JSON array
    helo TEXT NOT NULL,
    peer TEXT NOT NULL,
    tls_version TEXT NOT NULL,
    tls_cipher TEXT NOT NULL,
    size INTEGER NOT NULL,
    subject TEXT NOT NULL,
    header_from TEXT NOT NULL,
    header_to TEXT NOT NULL,
    searched TEXT NOT NULL,                -- case-folded: LIKE folds only ASCII
    content BLOB NOT NULL                  -- last: what stands before it is read without it
)
"""
# Tables of their own: content stays last, and a row is written only once a person looks.
_DIGESTS = "CREATE TABLE digests (id INTEGER PRIMARY KEY, snippet TEXT NOT NULL, attached INTEGER NOT NULL, body TEXT)"
_OPENED = "CREATE TABLE opened (id INTEGER PRIMARY KEY)"
_BESIDES = ("digests", "opened")

_COLUMNS = (
    "id, received_at, mail_from, rcpt_to, helo, peer, tls_version, tls_cipher, size, subject, header_from, header_to"
)
INSERT = f"INSERT INTO messages ({_COLUMNS}, searched, content) VALUES ({', '.join('?' * 14)})"
SELECT = f"""
SELECT messages.{_COLUMNS.replace(", ", ", messages.")}, opened.id IS NULL, digests.snippet, digests.attached
FROM messages LEFT JOIN opened USING (id) LEFT JOIN digests USING (id)
"""
MATCHING = """
WHERE (:search = '' OR instr(messages.searched, :search) OR instr(digests.body, :in_body))
  AND (:recipient = '' OR instr(messages.searched, :recipient) AND EXISTS (
       SELECT 1 FROM json_each(messages.rcpt_to) AS rcpt WHERE rcpt.value = :recipient COLLATE NOCASE))
  AND (:of = '' OR instr(messages.mail_from, :of))
"""


class Captured(Struct, frozen=True, kw_only=True):
    """A captured message without its content."""

    id: int
    received_at: datetime
    mail_from: str
    rcpt_to: list[str]
    helo: str
    peer: str
    tls_version: str
    tls_cipher: str
    size: int
    subject: str
    header_from: str
    header_to: str
    message_id: str = ""
    """The id of the accepted message that was delivered, as its envelope sender names it; "" for other mail."""
    unread: bool = True
    snippet: str | None = None
    """The beginning of its text; None until its contents were read."""
    attached: bool = False


def prepare(path: Path) -> sqlite3.Connection:
    """Open the file for writing, created or brought to this version. One of an unknown version is emptied, as captured
    mail is disposable."""
    make_folder(path.parent)
    path.touch(mode=0o600)
    connection = connect(path)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    # Survives the death of any process. A power cut may lose the last seconds of captured mail, which is test mail.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    [(version,)] = connection.execute("PRAGMA user_version").fetchall()
    if version != _SCHEMA_VERSION:
        with connection:
            connection.execute("BEGIN")
            if version != 1:
                for table in ("messages", *_BESIDES):
                    connection.execute(f"DROP TABLE IF EXISTS {table}")
                connection.execute(_MESSAGES)
            connection.execute(_DIGESTS)
            connection.execute(_OPENED)
            connection.execute("INSERT INTO opened SELECT id FROM messages")  # what was there is not news
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
    return connection


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=10.0, check_same_thread=False)


def delete(connection: sqlite3.Connection, where: str, *values: int) -> int:
    """Delete messages and what belongs to them, in the transaction that is open; returns the number of messages.
    ``where`` is a condition on ``id``."""
    for table in _BESIDES:
        connection.execute(f"DELETE FROM {table} WHERE {where}", values)
    return connection.execute(f"DELETE FROM messages WHERE {where}", values).rowcount


def to_row(message_id: int, envelope: ReceivedMessage, received_at: datetime) -> tuple[Any, ...]:
    """The values of ``INSERT``."""
    listed = mime_view.listed(envelope.content)
    searched = "\n".join([listed.subject, envelope.mail_from, *envelope.rcpt_to, listed.sender, listed.to]).casefold()
    return (
        message_id,
        received_at.timestamp(),
        envelope.mail_from,
        json.dumps(envelope.rcpt_to, ensure_ascii=False),
        envelope.helo,
        envelope.peer,
        envelope.tls_version,
        envelope.tls_cipher,
        len(envelope.content),
        listed.subject,
        listed.sender,
        listed.to,
        searched,
        envelope.content,
    )


def to_captured(row: tuple[Any, ...]) -> Captured:
    """From a row of ``SELECT``."""
    (id_, received_at, mail_from, rcpt_to, helo, peer, tls_version, tls_cipher, size, subject, sender, to) = row[:12]
    unread, snippet, attached = row[12:]
    return Captured(
        id=id_,
        received_at=datetime.fromtimestamp(received_at, UTC),
        mail_from=mail_from,
        rcpt_to=json.loads(rcpt_to),
        helo=helo,
        peer=peer,
        tls_version=tls_version,
        tls_cipher=tls_cipher,
        size=size,
        subject=subject,
        header_from=sender,
        header_to=to,
        message_id=message_of(mail_from),
        unread=bool(unread),
        snippet=snippet,
        attached=bool(attached),
    )


def sender_of(message_id: str) -> str:
    """The part of the envelope sender that names a message; with a character that no address has for no message id."""
    return beginning(message_id) if is_id("msg_", message_id) else "\n"
