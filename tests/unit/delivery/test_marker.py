"""The marker: what a life worked on when it ended survives any end; an unreadable marker costs one line of log."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.delivery.marker import NAME, SLOTS, Damaged, Life, Marker, read
from cluster.ids import new_id
from cluster.journal.records import Claimed
from cluster.journal.strikes import Struck

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def a_claim(message_id: str, tenant_id: str = "tnt_01") -> Claimed:
    return Claimed(
        message_id=message_id,
        recipient_no=0,
        recipient="ada@example.com",
        domain="example.com",
        tenant_id=tenant_id,
        request_id="req_01",
        batch_id=None,
        attempts=1,
        sole_recipient=True,
        created_at=NOW,
        send_at=NOW,
        dated_at=NOW,
        expires_at=NOW,
        personalization=b"",
    )


def left(directory: Path) -> tuple[Struck, ...]:
    life = Marker(directory).left()
    assert life is not None
    return life.struck


def test_without_a_former_life_nothing_is_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert Marker(tmp_path).left() is None
    assert not caplog.records


def test_what_is_worked_on_is_named_and_nothing_else(tmp_path: Path) -> None:
    marker = Marker(tmp_path)
    marker.begin(7)
    assert Marker(tmp_path).left() == Life(7, os.getpid(), ())
    first, second, third = (a_claim(new_id("msg_")) for _ in range(3))
    slot = marker.name(first)
    assert left(tmp_path) == (Struck(tenant_id="tnt_01", message_id=first.message_id),)
    marker.done(slot)
    assert left(tmp_path) == ()
    content, own = marker.name_content(second), marker.name(third)
    assert set(left(tmp_path)) == {
        Struck(tenant_id="tnt_01", message_id=second.message_id, shared=True),
        Struck(tenant_id="tnt_01", message_id=third.message_id),
    }
    marker.done(content)
    assert left(tmp_path) == (Struck(tenant_id="tnt_01", message_id=third.message_id),)
    marker.done(own)
    assert left(tmp_path) == ()


def test_a_longer_name_leaves_nothing_behind_in_a_shorter_one(tmp_path: Path) -> None:
    marker = Marker(tmp_path)
    marker.begin(1)
    marker.done(marker.name(a_claim(new_id("msg_"), new_id("tnt_"))))
    last = a_claim(new_id("msg_"))
    marker.name(last)
    assert left(tmp_path) == (Struck(tenant_id="tnt_01", message_id=last.message_id),)


def test_every_slot_can_be_used_at_once(tmp_path: Path) -> None:
    marker = Marker(tmp_path)
    marker.begin(1)
    claims = [a_claim(new_id("msg_"), new_id("tnt_")) for _ in range(SLOTS)]
    slots = [marker.name(claim) for claim in claims]
    assert {struck.message_id for struck in left(tmp_path)} == {claim.message_id for claim in claims}
    for slot in slots:
        marker.done(slot)
    assert left(tmp_path) == ()


def test_an_orderly_end_blames_no_message(tmp_path: Path) -> None:
    marker = Marker(tmp_path)
    marker.begin(1)
    marker.name(a_claim(new_id("msg_")))
    marker.close()
    assert left(tmp_path) == ()
    marker.close()


def test_what_was_left_stays_until_the_next_life_begins(tmp_path: Path) -> None:
    former = Marker(tmp_path)
    former.begin(1)
    former.name(a_claim(new_id("msg_")))
    marker = Marker(tmp_path)
    assert marker.left() == marker.left() != Life(1, os.getpid(), ())
    marker.begin(2)
    assert marker.left() == Life(2, os.getpid(), ())


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:100],
        lambda data: data + b"\0",
        lambda data: b"PRmark2\n" + data[8:],
        lambda data: data[:9] + b"\xff" + data[10:],
        lambda data: bytes(len(data)),
        lambda data: data.replace(b"message ", b"massage "),
        lambda data: data.replace(b"msg_", b"msg-"),
        lambda data: data.replace(b"\1message", b"\2message"),
        lambda data: data[:-128] + b"\1" + b"\xff" * 127,
    ],
)
def test_a_damaged_marker_costs_one_line(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
) -> None:
    marker = Marker(tmp_path)
    marker.begin(1)
    marker.name(a_claim(new_id("msg_")))
    path = tmp_path / NAME
    path.write_bytes(damage(path.read_bytes()))
    following = Marker(tmp_path)
    assert following.left() is None
    (record,) = caplog.records
    assert "what the last life was at work on is not known" in record.message
    following.begin(2)
    following.name(a_claim(new_id("msg_")))
    assert len(left(tmp_path)) == 1


@given(st.binary(max_size=5000), st.integers(0, 4223))
def test_whatever_the_file_holds_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    directory = tmp_path_factory.mktemp("marker")
    marker = Marker(directory)
    marker.begin(1)
    marker.name(a_claim(new_id("msg_")))
    path = directory / NAME
    whole = path.read_bytes()
    for data in (noise, (whole[:at] + noise)[: len(whole)].ljust(len(whole), b"\0")):
        path.write_bytes(data)
        try:
            life = read(path)
        except Damaged:
            continue
        assert all(struck.message_id.startswith("msg_") for struck in life.struck)


# A real SIGKILL
