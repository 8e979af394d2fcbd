"""Where to cut what came, so that a parser meets one request at a time. Pure.

A parser takes up every request of what it is fed, and each takes some kilobytes until it is answered: a hundred times
its own octets. What is behind the first is better kept as it came.
"""

BITE = 16 * 1024
"""Parsed at once, at most."""
HEAD_END = b"\r\n\r\n"
CHUNKED_BITE = 128
"""The end of a body in chunks looks like a head's, and so may any octets of it: it is cut there, but not into crumbs. A
handful of requests has room in it."""


def piece_end(data: bytes, start: int, body_left: int | None) -> int:
    """The end of the piece that begins at ``start``; it ends one head at most, but for a few behind a body in chunks.

    ``body_left``: how much of a body is to come before the next head; 0 between requests and within a head, None for a
    body in chunks.
    """
    limit = min(start + BITE, len(data))
    if body_left:
        return min(limit, start + body_left)
    end = data.find(HEAD_END, start if body_left is not None else start + CHUNKED_BITE, limit)
    if end < 0:
        return limit
    # Blank lines may stand before a request (RFC 9112 §2.2): in the same piece, or each pair would be one.
    return limit - len(data[end + len(HEAD_END) : limit].lstrip(b"\r\n"))
