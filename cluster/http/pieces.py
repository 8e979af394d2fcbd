"""Where to cut received data, so that the parser gets one request at a time. Pure.

A parser starts every request in the data it is fed, and each takes some kilobytes until it is answered: a hundred times
its own octets. So the data behind the first request is kept unparsed.
"""

BITE = 16 * 1024
"""Octets parsed at once, at most."""
HEAD_END = b"\r\n\r\n"
CHUNKED_BITE = 128
"""The end of a chunked body looks like a head's, and so may any octets of it: the data is cut there, but not into tiny
pieces. A few requests fit into this many octets."""


def piece_end(data: bytes, start: int, body_left: int | None) -> int:
    """The end of the piece that begins at ``start``. A piece ends at most one head, except a few behind a chunked body.

    ``body_left``: octets of a body that come before the next head; 0 between requests and within a head, None for a
    chunked body.
    """
    limit = min(start + BITE, len(data))
    if body_left:
        return min(limit, start + body_left)
    end = data.find(HEAD_END, start if body_left is not None else start + CHUNKED_BITE, limit)
    if end < 0:
        return limit
    # Blank lines may precede a request (RFC 9112 §2.2): include them, or each pair would become a piece.
    return limit - len(data[end + len(HEAD_END) : limit].lstrip(b"\r\n"))
