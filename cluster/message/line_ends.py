"""Line ends of a message: CR and LF only together (RFC 5321 §2.3.8). Pure."""

from io import IncrementalNewlineDecoder

PIECE = 256 * 1024
"""Octets of a message that one call processes; a longer one would hold the interpreter lock for too long."""


def are_all_crlf(octets: bytes | bytearray) -> bool:
    """Whether no CR and no LF stands alone. A bare one ends a line, or the message, for some hosts and not for others
    (SMTP smuggling, CVE-2023-51764)."""
    # This decoder notes which kinds of line ends it sees, in a third of the time that counting each kind takes.
    decoder = IncrementalNewlineDecoder(None, translate=False)
    for begin in range(0, len(octets), PIECE):
        end = begin + PIECE
        decoder.decode(octets[begin:end].decode("latin-1"), final=end >= len(octets))
    return decoder.newlines in (None, "\r\n")
