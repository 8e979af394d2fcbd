"""The ledger's files: what is read back, whatever the end looks like, and what is kept when."""

import errno
import logging
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import msgspec
import pytest

from actors.delivery.ledger import Entry, Ledger, LedgerInUse, Segment
from cluster.events import Delivered
from cluster.journal.records import Outcome
from cluster.policy.lifecycle import Status


def an_entry(n: int, reply: str = "250 2.0.0 queued") -> Entry:
    outcome = Outcome(
        tenant_id="tnt_1", message_id=f"msg_{n}", recipient_no=n % 3, status=Status.DELIVERED, sole_recipient=True
    )
    event = Delivered(
        id=f"evt_{n}",
        at=1_700_000_000.25 + n,
        tenant_id="tnt_1",
        message_id=f"msg_{n}",
        recipient=f"u{n}@example.com",
        categories=("grüße",),
        attempt=2,
        smtp_response=reply,
    )
    return outcome, event


ENTRIES = [an_entry(n) for n in range(6)]


@contextmanager
def opened(ledger: Ledger) -> Iterator[list[Entry]]:
    """The ledger, open as in one life of its actor, and what the life before left."""
    try:
        yield ledger.unsettled()
    finally:
        ledger.close()


def left(directory: Path) -> list[Entry]:
    with opened(Ledger(directory)) as former:
        return former


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.ledger"))


def a_killed_life(directory: Path, entries: list[Entry], settled: int = 0) -> None:
    ledger = Ledger(directory)
    with opened(ledger):
        ledger.append(entries)
        ledger.settle(settled)


def test_a_new_ledger_is_empty_and_costs_no_file(tmp_path: Path) -> None:
    assert left(tmp_path / "ledger") == []
    assert files(tmp_path / "ledger") == []


def test_what_was_not_settled_is_read_back_whole(tmp_path: Path) -> None:
    a_killed_life(tmp_path, ENTRIES)
    assert left(tmp_path) == ENTRIES
    assert left(tmp_path) == ENTRIES, "until it is settled"


def test_what_was_settled_is_not(tmp_path: Path) -> None:
    a_killed_life(tmp_path, ENTRIES, settled=4)
    assert left(tmp_path) == ENTRIES[4:]


def test_a_life_that_settled_everything_leaves_no_file(tmp_path: Path) -> None:
    a_killed_life(tmp_path, ENTRIES, settled=6)
    assert files(tmp_path) == []


def test_what_a_former_life_left_stays_until_it_is_forgotten(tmp_path: Path) -> None:
    a_killed_life(tmp_path, ENTRIES[:2])
    a_killed_life(tmp_path, ENTRIES[2:4])
    assert left(tmp_path) == ENTRIES[:4]
    ledger = Ledger(tmp_path)
    with opened(ledger):
        ledger.forget_former()
        ledger.append(ENTRIES[4:])
    assert left(tmp_path) == ENTRIES[4:]


def test_the_settled_of_one_life_are_not_confused_with_those_of_the_next(tmp_path: Path) -> None:
    a_killed_life(tmp_path, ENTRIES[:3], settled=1)
    a_killed_life(tmp_path, ENTRIES[3:], settled=0)
    assert left(tmp_path) == ENTRIES[1:]


def test_only_one_process_has_it_open(tmp_path: Path) -> None:
    with opened(Ledger(tmp_path)), pytest.raises(LedgerInUse, match="in use"):
        Ledger(tmp_path).unsettled()
    assert left(tmp_path) == []


def test_what_is_settled_is_deleted_at_once_when_that_is_asked_for(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with opened(ledger):
        ledger.forget_settled()
        ledger.append(ENTRIES[:2])
        ledger.settle(2)
        assert len(files(tmp_path)) == 1
        ledger.forget_settled()
        assert files(tmp_path) == []
        ledger.append(ENTRIES[2:4])
        ledger.settle(1)
        ledger.forget_settled()
        # The file has one that is not settled; what comes now goes to another.
        ledger.append(ENTRIES[4:])
        assert len(files(tmp_path)) == 2
        copy = tmp_path / "copy"
        shutil.copytree(tmp_path, copy, ignore=shutil.ignore_patterns("copy"))
        assert left(copy) == ENTRIES[3:]
        ledger.settle(1)
        (path,) = files(tmp_path)
        assert b"msg_3" not in path.read_bytes()
    assert left(tmp_path) == ENTRIES[4:]


# Damage


def test_a_torn_end_costs_only_what_is_torn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    a_killed_life(tmp_path, ENTRIES[:2])
    (path,) = files(tmp_path)
    two = len(path.read_bytes().rstrip(b"\0"))
    path.unlink()
    a_killed_life(tmp_path, ENTRIES[:3])
    (path,) = files(tmp_path)
    data = path.read_bytes()
    three = len(data.rstrip(b"\0"))
    for end in range(two, three):
        for torn in (data[:end], data[:end].ljust(len(data), b"\0")):
            path.write_bytes(torn)
            caplog.clear()
            assert left(tmp_path) == ENTRIES[:2], end
            assert ("damaged end skipped" in caplog.text) == any(torn[two:]), end


@pytest.mark.parametrize(
    "rubbish",
    [b"\xff" * 100, b"\x01\0\0\0\0\0\0\0\xc0", b"\x10\0\0\0", os.urandom(64) + b"x"],
    ids=["ones", "wrong checksum", "header only", "random"],
)
def test_rubbish_at_the_end_is_skipped_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, rubbish: bytes
) -> None:
    a_killed_life(tmp_path, ENTRIES)
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes().rstrip(b"\0") + rubbish)
    assert left(tmp_path) == ENTRIES
    assert f"file={path}" in caplog.text


def test_a_flipped_bit_ends_its_segment_and_not_the_next(tmp_path: Path) -> None:
    a_killed_life(tmp_path, ENTRIES[:3])
    (path,) = files(tmp_path)
    data = bytearray(path.read_bytes())
    a_killed_life(tmp_path, ENTRIES[3:])
    data[20] ^= 1
    path.write_bytes(data)
    assert left(tmp_path) == ENTRIES[3:]


def test_an_empty_file_and_strange_files_do_no_harm(tmp_path: Path) -> None:
    a_killed_life(tmp_path, ENTRIES)
    (tmp_path / "00000007.ledger").touch()
    (tmp_path / "notes.ledger").write_text("not ours")
    assert left(tmp_path) == ENTRIES


def test_a_record_of_another_version_is_skipped_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    a_killed_life(tmp_path, ENTRIES[:1])
    (path,) = files(tmp_path)
    first = path.read_bytes().rstrip(b"\0")
    payload = msgspec.msgpack.encode({"from": "the future"})
    path.write_bytes(struct.pack("<II", len(payload), crc32(payload)) + payload + first)
    assert left(tmp_path) == ENTRIES[:1]
    assert "record skipped" in caplog.text


# Size


def test_segments_are_bounded_and_go_when_all_in_them_is_settled(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, segment_bytes=1000)
    with opened(ledger):
        for n in range(20):
            ledger.append([an_entry(n)])
        begun = len(files(tmp_path))
        assert begun > 4
        assert all(path.stat().st_size == 1000 for path in files(tmp_path))
        for n in range(20):
            assert left_of(tmp_path) == [an_entry(m) for m in range(n, 20)]
            ledger.settle(1)
        assert len(files(tmp_path)) == 1
    assert files(tmp_path) == []


def left_of(directory: Path) -> list[Entry]:
    """The contents that a successor would read now, from a copy, since the ledger is in use."""
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(directory, copy, dirs_exist_ok=True)
        return left(Path(copy))


def test_it_says_when_too_much_is_uncommitted_and_still_takes_what_comes(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, segment_bytes=1000, segments_at_most=3)
    entries = [an_entry(n) for n in range(40)]
    with opened(ledger):
        taken = 0
        while ledger.problem is None:
            ledger.append([entries[taken]])
            taken += 1
        assert "full" in ledger.problem
        assert len(files(tmp_path)) == 4
        ledger.append(entries[taken:])
        assert left_of(tmp_path) == entries
        ledger.settle(40)
        assert ledger.problem is None


def test_an_entry_larger_than_a_segment_has_one_of_its_own(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, segment_bytes=1000)
    entries = [an_entry(0), an_entry(1, "250 " + "x" * 5000), an_entry(2)]
    with opened(ledger):
        for entry in entries:
            ledger.append([entry])
    assert left(tmp_path) == entries


# A disk that does not take it


def problem_of(ledger: Ledger) -> str | None:
    """Asked by a function, or mypy believes that the answer never changes."""
    return ledger.problem


class Disk:
    """Segments on a disk that can be full: reserving fails, or a write stops half way."""

    def __init__(self) -> None:
        self.full = False
        self.writes_at_most: int | None = None

    def begin(self, path: Path, size: int) -> Segment:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        disk = self

        class Watched(Segment):
            def write(self, data: bytes) -> None:
                if disk.writes_at_most is None:
                    super().write(data)
                else:
                    super().write(data[: disk.writes_at_most])
                    self._written = self._size
                    raise OSError(errno.EIO, "Input/output error")

        return Watched(path, size)


def test_a_full_disk_is_a_problem_until_there_is_room_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk()
    ledger = Ledger(tmp_path, segment_bytes=1000, begin=disk.begin)
    with opened(ledger):
        ledger.append(ENTRIES[:2])
        disk.full = True
        for entry in ENTRIES[2:]:
            ledger.append([entry])
        assert problem_of(ledger) == "ledger cannot be written: [Errno 28] No space left on device"
        assert caplog.text.count("cannot write") == 1
        before = left_of(tmp_path)
        assert before == ENTRIES[: len(before)]
        ledger.retry()
        assert problem_of(ledger) is not None
        disk.full = False
        ledger.retry()
        assert problem_of(ledger) is None
        assert left_of(tmp_path) == ENTRIES


def test_what_was_committed_meanwhile_need_not_be_written_any_more(tmp_path: Path) -> None:
    disk = Disk()
    disk.full = True
    ledger = Ledger(tmp_path, begin=disk.begin)
    with opened(ledger):
        ledger.append(ENTRIES)
        ledger.settle(4)
        ledger.retry()
        assert problem_of(ledger) is not None, "there is still no room for what comes next"
        disk.full = False
        ledger.retry()
        assert left_of(tmp_path) == ENTRIES[4:]
        ledger.settle(2)
        ledger.retry()
        assert problem_of(ledger) is None


@pytest.mark.parametrize("cut", [0, 5, 150])
def test_a_write_that_stops_half_way_spoils_nothing(tmp_path: Path, cut: int) -> None:
    disk = Disk()
    ledger = Ledger(tmp_path, begin=disk.begin)
    with opened(ledger):
        ledger.append(ENTRIES[:1])
        disk.writes_at_most = cut
        ledger.append(ENTRIES[1:3])
        for _ in range(5):
            ledger.retry()
        assert problem_of(ledger) is not None
        assert len(files(tmp_path)) == 1, "what fails leaves no files behind"
        disk.writes_at_most = None
        ledger.retry()
        ledger.append(ENTRIES[3:])
        assert left_of(tmp_path) == ENTRIES


def test_a_short_write_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite
    ledger = Ledger(tmp_path)
    with opened(ledger):
        ledger.append(ENTRIES[:1])
        monkeypatch.setattr(os, "pwrite", lambda file, data, at: whole(file, data[:10], at))
        ledger.append(ENTRIES[1:2])
        assert problem_of(ledger) is not None
        monkeypatch.undo()
        ledger.retry()
        assert left_of(tmp_path) == ENTRIES[:2]


def test_room_is_reserved_before_it_is_needed(tmp_path: Path) -> None:
    with opened(ledger := Ledger(tmp_path, segment_bytes=64 * 1024)):
        ledger.append(ENTRIES[:1])
        (path,) = files(tmp_path)
        assert path.stat().st_blocks * 512 >= 64 * 1024


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
