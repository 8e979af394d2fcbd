"""Counting in Postgres's protocol: statements by name, round trips, transactions."""

import struct

import pytest

from benchmarks.counts.journal_dialogue import Dialogue, StatementNames, Transaction

QUERIES = {
    "claim": "UPDATE d SET owner = %(owner)s\nWHERE id = ANY(%(ids)s) AND was <> %(owner)s",
    "half": "SELECT 5 %% 2",
}


def frame(letter: bytes, body: bytes = b"") -> bytes:
    return letter + struct.pack("!I", len(body) + 4) + body


def startup() -> bytes:
    body = struct.pack("!I", 196608) + b"user\0postgres\0application_name\0api-0-0\0\0"
    return struct.pack("!I", len(body) + 4) + body


def query(text: str) -> bytes:
    return frame(b"Q", text.encode() + b"\0")


def prepare(name: str, text: str) -> bytes:
    return frame(b"P", name.encode() + b"\0" + text.encode() + b"\0\0\0")


def execute(name: str) -> bytes:
    return frame(b"B", b"\0" + name.encode() + b"\0" + bytes(6)) + frame(b"E", b"\0" + bytes(4))


SYNC = frame(b"S")
READY, BUSY = frame(b"Z", b"I"), frame(b"Z", b"T")
COPY_IN, DONE = frame(b"G", bytes(3)), frame(b"c")
CLAIM = "UPDATE d SET owner = $1\nWHERE id = ANY($2) AND was <> $1"


class Heard:
    """A dialogue that has begun, and its transactions."""

    def __init__(self) -> None:
        self.transactions: list[Transaction] = []
        self.dialogue = Dialogue(StatementNames(QUERIES), self.transactions.append)
        self.dialogue.asked(startup())
        self.dialogue.answered(frame(b"R", bytes(4)) + READY)


@pytest.fixture
def heard() -> Heard:
    return Heard()


def test_a_connection_is_no_transaction(heard: Heard) -> None:
    assert heard.transactions == []
    assert heard.dialogue.application == "api-0-0"


def test_a_statement_alone_is_a_transaction(heard: Heard) -> None:
    heard.dialogue.asked(prepare("", CLAIM) + execute("") + SYNC)
    heard.dialogue.answered(READY)
    assert heard.transactions == [Transaction("api-0-0", ("claim",), 1)]


def test_a_prepared_statement_keeps_its_name(heard: Heard) -> None:
    heard.dialogue.asked(prepare("s1", CLAIM) + execute("s1") + SYNC)
    heard.dialogue.answered(READY)
    heard.dialogue.asked(prepare("s2", "SELECT 5 % 2") + execute("s2") + SYNC)
    heard.dialogue.answered(READY)
    heard.dialogue.asked(execute("s1") + SYNC)
    heard.dialogue.answered(READY)
    assert [one.statements for one in heard.transactions] == [("claim",), ("half",), ("claim",)]


def test_statements_between_begin_and_commit_belong_together(heard: Heard) -> None:
    for asked, answer in (
        (query("BEGIN"), BUSY),
        (prepare("", CLAIM) + execute("") + SYNC, BUSY),
        (query("COMMIT"), READY),
    ):
        heard.dialogue.asked(asked)
        heard.dialogue.answered(answer)
    assert heard.transactions == [Transaction("api-0-0", ("BEGIN", "claim", "COMMIT"), 3)]
    assert heard.transactions[0].work == {"claim"}


def test_a_pipeline_is_one_round_trip(heard: Heard) -> None:
    heard.dialogue.asked(prepare("", "BEGIN") + execute("") + prepare("", CLAIM) + execute(""))
    heard.dialogue.asked(prepare("", "COMMIT") + execute("") + SYNC)
    heard.dialogue.answered(READY)
    assert heard.transactions == [Transaction("api-0-0", ("BEGIN", "claim", "COMMIT"), 1)]


def test_copying_in_is_two_round_trips_however_it_is_asked_for(heard: Heard) -> None:
    text = "COPY messages (id) FROM STDIN"
    heard.dialogue.asked(query(text))
    heard.dialogue.answered(COPY_IN)
    heard.dialogue.asked(frame(b"d", bytes(100)) + DONE)
    heard.dialogue.answered(READY)
    # The Sync of an extended query is ignored during the copy, so another Sync follows the data.
    heard.dialogue.asked(prepare("", text) + execute("") + SYNC)
    heard.dialogue.answered(COPY_IN)
    heard.dialogue.asked(frame(b"d", bytes(100)) + DONE + SYNC)
    heard.dialogue.answered(READY)
    heard.dialogue.asked(query("SELECT a, b, c FROM d, e WHERE f"))
    heard.dialogue.answered(READY)
    copied = Transaction("api-0-0", ("COPY messages",), 2)
    assert heard.transactions == [copied, copied, Transaction("api-0-0", ("SELECT a, b, c FROM",), 1)]


def test_it_does_not_matter_where_the_stream_is_cut(heard: Heard) -> None:
    for i in range(len(data := prepare("", CLAIM) + execute("") + SYNC)):
        heard.dialogue.asked(data[i : i + 1])
    for i in range(len(READY)):
        heard.dialogue.answered(READY[i : i + 1])
    assert heard.transactions == [Transaction("api-0-0", ("claim",), 1)]
    assert heard.dialogue.bytes_asked == len(startup()) + len(data)
