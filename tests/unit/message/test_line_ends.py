import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.message import line_ends
from cluster.message.line_ends import are_all_crlf


@pytest.mark.parametrize("octets", [b"", b"a", b"\r\n", b"a\r\n\r\nb", b"\xff\x85\xe2\x80\xa8\r\n\v\f\x1c"])
def test_crlf(octets: bytes) -> None:
    assert are_all_crlf(octets)


@pytest.mark.parametrize("octets", [b"\r", b"\n", b"a\r", b"\na", b"\n\r", b"\r\r\n", b"\r\n\n", b"a\r\nb\nc\r\n"])
def test_a_lone_cr_or_lf(octets: bytes) -> None:
    assert not are_all_crlf(octets)


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"\xff"])).map(b"".join), st.integers(1, 9))
def test_piece_by_piece(octets: bytes, size: int) -> None:
    are_whole = re.search(rb"(?<!\r)\n|\r(?!\n)", octets) is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_ends, "PIECE", size)
        assert are_all_crlf(octets) is are_whole
        assert are_all_crlf(bytearray(octets)) is are_whole
