"""The part of an image that a request asks for."""

import pytest

from api.images.ranges import Unsatisfiable, is_known, is_meant, part

ETAG = b'"abc"'


@pytest.mark.parametrize(
    ("range_", "expected"),
    [
        (b"bytes=0-9", (0, 10)),
        (b"bytes=90-200", (90, 100)),
        (b"bytes=10-", (10, 100)),
        (b"bytes=-10", (90, 100)),
        (b"bytes=-200", (0, 100)),
        (b"Bytes=5-5", (5, 6)),
        (b"bytes=9-5", None),
        (b"bytes=-", None),
        (b"bytes=0-1,5-6", None),
        (b"lines=0-9", None),
        (b"bytes=a-b", None),
        (b"bytes=" + b"9" * 400 + b"-", None),
        (b"", None),
    ],
)
def test_ranges(range_: bytes, expected: tuple[int, int] | None) -> None:
    assert part(range_, None, ETAG, 100) == expected
    assert part(range_, ETAG, ETAG, 100) == expected
    assert part(range_, b'"other"', ETAG, 100) is None


@pytest.mark.parametrize("range_", [b"bytes=100-", b"bytes=100-200", b"bytes=-0"])
def test_beyond_the_end(range_: bytes) -> None:
    with pytest.raises(Unsatisfiable):
        part(range_, None, ETAG, 100)


def test_what_a_client_asks_for() -> None:
    assert is_meant(b'"x", "abc"', ETAG) and is_meant(b"*", ETAG)
    assert not is_meant(b'"x"', ETAG) and not is_meant(b"", ETAG)
    assert not is_meant(b'W/"abc"', ETAG)  # compared strongly


def test_what_a_client_has() -> None:
    assert is_known(b'"x", W/"abc"', ETAG) and is_known(b"*", ETAG)
    assert not is_known(b'"x"', ETAG)
