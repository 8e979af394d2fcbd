"""ClickHouse's compressed blocks: what ``compress=1`` asks for and ``decompress=1`` sends. Pure.

A block is a checksum of the rest of it (CityHash128 of version 1.0.2, 16 bytes), a byte for the method, the size of the
data with these 9 bytes, the size that the data have uncompressed (32 bits each), and the data. All numbers are
little-endian. See https://clickhouse.com/docs/native-protocol/compression.
"""

import struct

import lz4.block
from clickhouse_cityhash.cityhash import CityHash128

from analytics.door.failures import ErrorCode, failed

LZ4, NONE = 0x82, 0x02
_CHECKSUM = 16
_HEAD = struct.Struct("<BII")


def packed(data: bytes) -> bytes:
    """One block of these bytes, by LZ4."""
    compressed: bytes = lz4.block.compress(data, store_size=False)
    block = _HEAD.pack(LZ4, _HEAD.size + len(compressed), len(data)) + compressed
    return _checksum(block) + block


def unpacked(body: bytes, most: int) -> bytes:
    """What the blocks of a request hold. Raises QueryFailed if they are malformed, or hold more than ``most`` bytes."""
    view, parts, left = memoryview(body), [], most
    while view:
        if len(view) < _CHECKSUM + _HEAD.size:
            raise _malformed("the last block is cut off")
        method, size, unpacked_size = _HEAD.unpack_from(view, _CHECKSUM)
        block = bytes(view[_CHECKSUM : _CHECKSUM + size])
        if not _HEAD.size <= size == len(block):
            raise _malformed("a block is not as long as it says")
        if _checksum(block) != view[:_CHECKSUM]:
            raise failed(ErrorCode.CHECKSUM_DOESNT_MATCH, "The checksum of a compressed block is wrong")
        if unpacked_size > left:
            raise failed(ErrorCode.QUERY_IS_TOO_LARGE, f"A query has at most {most} bytes")
        parts.append(_data(method, block[_HEAD.size :], unpacked_size))
        left -= unpacked_size
        view = view[_CHECKSUM + size :]
    return b"".join(parts)


def _data(method: int, data: bytes, size: int) -> bytes:
    if method == NONE:
        found = data
    elif method == LZ4:
        try:
            found = bytes(lz4.block.decompress(data, uncompressed_size=size))
        except lz4.block.LZ4BlockError:
            raise _malformed("a block is not LZ4") from None
    else:
        raise failed(ErrorCode.NOT_IMPLEMENTED, f"Blocks may be compressed with LZ4 only, not by method {method:#x}")
    if len(found) != size:
        raise _malformed("the data of a block are not as long as it says")
    return found


def _checksum(block: bytes) -> bytes:
    number = CityHash128(block)
    return struct.pack("<QQ", number >> 64, number & 0xFFFFFFFFFFFFFFFF)


def _malformed(reason: str) -> Exception:
    return failed(ErrorCode.CANNOT_DECOMPRESS, f"The body is not in compressed blocks: {reason}")
