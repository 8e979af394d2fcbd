"""Whether a text names one of some addresses, in the usual spellings and encodings. Pure."""

import email
import quopri
import re
from collections.abc import Collection, Iterator
from urllib.parse import unquote

from cluster.suppression.address import compared

_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"'=?&/]{1,256}@[^\s<>()\[\],;:\"'=?&/\\]{1,256}")


def names(text: str, addresses: Collection[str]) -> bool:
    """Whether a text has one of these addresses, as it is or percent-encoded. ``addresses`` are in the form of
    ``compared``."""
    return any(compared(found) in addresses for found in _found(text))


def mail_names(mail: bytes, addresses: Collection[str]) -> bool:
    """The same for a mail (RFC 5322), which may be truncated. It is searched as it is, decoded as quoted-printable, and
    part by part in the encodings that it names."""
    return any(names(text.decode("utf-8", "replace"), addresses) for text in _decoded(mail))


def _found(text: str) -> Iterator[str]:
    for spelling in {text, unquote(text)}:
        for match in _ADDRESS.finditer(spelling):
            # A sentence may go on after an address.
            yield match.group().rstrip(".!*}").lstrip("{*")


def _decoded(mail: bytes) -> Iterator[bytes]:
    yield mail
    yield quopri.decodestring(mail)
    for part in email.message_from_bytes(mail).walk():
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes):
            yield payload
