"""Answers in ClickHouse's format Native."""

import struct

import pytest

from analytics.native import rows


def number(value: int) -> bytes:
    head = b""
    while value > 0x7F:
        head += bytes([value & 0x7F | 0x80])
        value >>= 7
    return head + bytes([value])


def text(value: bytes) -> bytes:
    return number(len(value)) + value


def block(*times_and_texts: tuple[int, bytes]) -> bytes:
    """A block with the columns at and reply."""
    times = b"".join(struct.pack("<q", at) for at, _ in times_and_texts)
    texts = b"".join(text(one) for _, one in times_and_texts)
    head = number(2) + number(len(times_and_texts))
    return head + text(b"at") + text(b"DateTime64(3, 'UTC')") + times + text(b"reply") + text(b"String") + texts


LONG = "ü" * 40_000


def test_blocks_follow_each_other() -> None:
    data = block((1, b"250 ok"), (-2, LONG.encode())) + block() + block((2**40, b""))
    assert rows(data) == [(1, "250 ok"), (-2, LONG), (2**40, "")]
    assert rows(b"") == []


def test_bytes_that_are_no_text_are_marked() -> None:
    assert rows(block((1, b"a\xffb"))) == [(1, "a\ufffdb")]


def test_an_answer_that_is_cut_off_anywhere_is_none() -> None:
    data = block((1, b"250 ok"), (2, b"451 later"))
    for end in range(1, len(data)):
        with pytest.raises(ValueError, match="cut off"):
            rows(data[:end])


@pytest.mark.parametrize("kind", [b"LowCardinality(String)", b"UInt8", b"Nullable(String)"])
def test_another_type_is_not_read(kind: bytes) -> None:
    with pytest.raises(ValueError, match="another type"):
        rows(number(1) + number(1) + text(b"x") + text(kind) + text(b"1"))
