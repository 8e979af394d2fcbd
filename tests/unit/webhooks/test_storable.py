"""What endpoints answer can be stored, whatever its bytes."""

import msgspec

from cluster.webhooks.answer import storable


def test_bytes_that_are_no_text_are_replaced() -> None:
    header = b"X: \xff\0".decode("utf-8", "surrogateescape")
    assert storable(header) == "X: ??"
    assert msgspec.msgpack.encode(storable(header))
    assert storable("ünïcode") == "ünïcode"
