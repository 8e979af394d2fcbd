"""Identifiers: their form, their order, and the time in them."""

from datetime import UTC, datetime, timedelta

import pytest

from cluster import ids
from cluster.ids import first_id, is_id, made_at, moment_ms, new_id, new_ids, new_request_ids, same_moment

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def number(id: str) -> int:
    """The 128 bits of an identifier's ULID, read digit by digit."""
    value = 0
    for digit in id[4:]:
        value = value * 32 + DIGITS.index(digit)
    return value


def moment(id: str) -> datetime:
    return datetime.fromtimestamp((number(id) >> 80) / 1000, UTC)


def test_an_id_has_its_form_and_the_time_of_its_making() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    id = new_id("msg_")
    assert is_id("msg_", id) and not is_id("evt_", id)
    assert before <= moment(id) <= datetime.now(UTC)


def test_they_sort_as_they_were_made() -> None:
    made = [new_id("msg_"), *new_ids("msg_", 3000), new_id("msg_"), *new_ids("msg_", 2)]
    assert made == sorted(made)
    assert len(set(made)) == len(made) == 3004
    assert all(is_id("msg_", id) for id in made)


def test_none_are_none() -> None:
    assert new_ids("evt_", 0) == []


def test_counting_runs_over_into_the_higher_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.ids.os.urandom", lambda _: b"\xff" * 10)
    monkeypatch.setattr("cluster.ids.time.time_ns", lambda: 1_700_000_000_123_456_789)
    made = ids._Ulids().make("msg_", 3)
    assert [number(id) - number(made[0]) for id in made] == [0, 1, 2]
    assert {number(id) >> 80 for id in made} == {1_700_000_000_123}
    assert all(is_id("msg_", id) for id in made)


def test_another_millisecond_begins_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((1_700_000_000_000_000_000, 1_700_000_000_001_000_000))
    monkeypatch.setattr("cluster.ids.time.time_ns", lambda: next(times))
    ulids = ids._Ulids()
    first, second = (number(ulids.make("msg_", 1)[0]) for _ in range(2))
    assert second >> 80 == (first >> 80) + 1
    assert second & ((1 << 79) - 1) != first & ((1 << 79) - 1)


def test_the_first_id_of_a_moment_is_no_younger_than_what_is_made_in_it() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    least = first_id("msg_", at)
    assert is_id("msg_", least)
    assert moment(least) == made_at(least) == at
    assert number(least) & ((1 << 80) - 1) == 0
    assert number(first_id("msg_", datetime(1969, 1, 1, tzinfo=UTC))) == 0


def test_what_is_made_together_is_of_one_moment() -> None:
    made = new_ids("msg_", 60_000)
    first, last = same_moment(made[30_000])
    assert first < made[0] < made[-1] < last
    assert len(first) == len(last) == len(made[0])


def test_a_request_and_its_messages_are_of_one_moment() -> None:
    request, messages = new_request_ids(3)
    assert is_id("req_", request) and len(messages) == 3
    first, last = same_moment(request)
    assert all(first[4:] < id[4:] < last[4:] for id in (request, *messages))
    assert messages == sorted(messages) and all(is_id("msg_", id) for id in messages)


def test_the_time_in_an_id() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    assert moment_ms(first_id("msg_", at)) == int(at.timestamp() * 1000)
    assert ids.moment(int(at.timestamp() * 1000)) == first_id("msg_", at)[4:14]
    assert moment_ms(first_id("d-", at)) == int(at.timestamp() * 1000)
    for text in ("", "m1", "msg_", f"msg_8{'Z' * 25}", f"msg_{'u' * 26}"):
        assert moment_ms(text) is None
