"""ClickHouse's compressed blocks, from clients that mean no good as well."""

import struct

import lz4.block
import pytest
from clickhouse_cityhash.cityhash import CityHash128

from analytics.door.blocks import NONE, packed, unpacked
from analytics.door.failures import ErrorCode, QueryFailed

MOST = 100_000
OF_CLICKHOUSE = bytes.fromhex("3342f8af78275dcb5a8b8ba5d98c89218217000000e80300001f070100ffffffd2500707070707")
"""The file of a column in a table of the engine: a thousand times 7, as UInt8."""


def block(data: bytes, size: int, method: int = 0x82) -> bytes:
    """A block with the right checksum, whatever it holds."""
    rest = struct.pack("<BII", method, 9 + len(data), size) + data
    number = CityHash128(rest)
    return struct.pack("<QQ", number >> 64, number & (2**64 - 1)) + rest


@pytest.mark.parametrize("text", [b"", b"SELECT 1", b"x" * MOST])
def test_what_is_packed_is_unpacked(text: bytes) -> None:
    assert unpacked(packed(text), MOST) == text
    assert unpacked(packed(text) + packed(b"") + block(b"", 0, NONE), MOST) == text


def test_blocks_of_clickhouse() -> None:
    assert unpacked(OF_CLICKHOUSE, MOST) == b"\x07" * 1000


def test_a_block_lies_as_clickhouse_reads_it() -> None:
    made = packed(b"SELECT 1 " * 100)
    method, size, unpacked_size = struct.unpack_from("<BII", made, 16)
    assert (method, size, unpacked_size) == (0x82, len(made) - 16, 900)
    assert lz4.block.decompress(made[25:], uncompressed_size=900) == b"SELECT 1 " * 100


def test_blocks_without_compression() -> None:
    assert unpacked(block(b"SELECT 1", 8, NONE), MOST) == b"SELECT 1"


GOOD = packed(b"SELECT 1 " * 100)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"SELECT 1", ErrorCode.CANNOT_DECOMPRESS),
        (bytes(25), ErrorCode.CANNOT_DECOMPRESS),
        (GOOD[:24], ErrorCode.CANNOT_DECOMPRESS),
        (GOOD[:-1], ErrorCode.CANNOT_DECOMPRESS),
        (GOOD + b"x", ErrorCode.CANNOT_DECOMPRESS),
        (bytes([GOOD[0] ^ 1]) + GOOD[1:], ErrorCode.CHECKSUM_DOESNT_MATCH),
        (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), ErrorCode.CHECKSUM_DOESNT_MATCH),
        (GOOD[:17] + b"\xff\xff\xff\xff" + GOOD[21:], ErrorCode.CANNOT_DECOMPRESS),
        (GOOD[:17] + b"\0\0\0\0" + GOOD[21:], ErrorCode.CANNOT_DECOMPRESS),
        (block(GOOD[25:], 0xFFFFFFFF), ErrorCode.QUERY_IS_TOO_LARGE),
        (block(GOOD[25:], 901), ErrorCode.CANNOT_DECOMPRESS),
        (block(GOOD[25:], 899), ErrorCode.CANNOT_DECOMPRESS),
        (block(b"", 0), ErrorCode.CANNOT_DECOMPRESS),
        (block(b"\xff" * 50, 1000), ErrorCode.CANNOT_DECOMPRESS),
        (block(b"SELECT 1", 9, NONE), ErrorCode.CANNOT_DECOMPRESS),
        (block(b"", 0, 0x90), ErrorCode.NOT_IMPLEMENTED),
        (packed(b" " * MOST) + packed(b" "), ErrorCode.QUERY_IS_TOO_LARGE),
    ],
)
def test_hostile_blocks_are_refused(body: bytes, code: ErrorCode) -> None:
    with pytest.raises(QueryFailed) as caught:
        unpacked(body, MOST)
    assert caught.value.code == code
