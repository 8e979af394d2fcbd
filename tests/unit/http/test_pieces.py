"""Cutting what came: nothing is lost, and no piece ends two heads."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.http.pieces import BITE, CHUNKED_BITE, HEAD_END, piece_end

PARTS = st.sampled_from([b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"x" * 3000, b"y"])


def cut(data: bytes) -> list[bytes]:
    pieces, start = [], 0
    while start < len(data):
        end = piece_end(data, start, 0)
        assert start < end <= start + BITE
        pieces.append(data[start:end])
        start = end
    return pieces


@given(parts=st.lists(PARTS, max_size=40))
def test_no_piece_ends_two_heads(parts: list[bytes]) -> None:
    data = b"".join(parts)
    pieces = cut(data)
    assert b"".join(pieces) == data
    for piece in pieces:
        rest = piece.partition(HEAD_END)[2]
        assert not rest.strip(b"\r\n")


def test_requests_are_cut_apart_and_blank_lines_are_not() -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert cut(request * 3) == [request] * 3
    assert cut(b"\r\n" * 9 + request) == [b"\r\n" * 9, request]
    assert cut(request + b"\r\n" * 5000 + request) == [request + b"\r\n" * 5000, request]
    assert len(cut(b"\r\n" * 40_000)) == 5


def test_a_body_is_cut_at_its_end() -> None:
    data = b"a\r\n\r\n" * 10_000
    assert piece_end(data, 0, 50_000) == BITE
    assert piece_end(data, 100, 20) == 120
    assert piece_end(data, 49_990, 60) == 50_000


def test_a_body_in_chunks_is_not_cut_into_crumbs() -> None:
    data = b"a\r\n\r\n" * 10_000
    assert CHUNKED_BITE < piece_end(data, 0, None) <= CHUNKED_BITE + 9
