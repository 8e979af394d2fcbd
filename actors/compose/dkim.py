"""DKIM signatures (RFC 6376), RSA and Ed25519 (RFC 8463).

This module owns canonicalisation (relaxed/relaxed: relays may refold a field or trim a line), the choice of signed
fields, and the form of DKIM-Signature. It does not verify (the tests use dkimpy for that), make or keep a key
(``cluster.dkim_keys``), or read a clock.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from msgspec import Struct

from actors.compose import rsa
from cluster.dkim_keys import PrivateKey
from cluster.message.header_fields import domain_name, fold
from cluster.message.transfer_encoding import LINE

_OVERSIGNED = (
    *(b"from", b"reply-to", b"to", b"cc", b"subject", b"date", b"message-id", b"mime-version", b"content-type"),
    *(b"content-transfer-encoding", b"list-unsubscribe", b"list-unsubscribe-post"),
)
"""RFC 6376 §5.4.1, and the fields that RFC 8058 §4 requires for one-click unsubscription. Each is named once more than
it occurs, even if it does not occur: a field added in transit then breaks the signature (RFC 6376 §8.15)."""
_SIGNED = (b"sender", b"in-reply-to", b"references", b"list-id")
"""RFC 6376 §5.4.1 again. If they are missing they may be added in transit, as mailing lists do."""

_LEAST_RSA_BITS = 2048
"""RFC 8301 §3.2: the least that signers should use. Every key that postray makes has it."""


_MOST_NAMES = 50
"""Names in a cached list of header fields; each name has less than 1,000 octets."""
SLICE = 128 * 1024
"""Octets of a body that are canonicalised in one call."""


class Unsigned(Struct, frozen=True):
    """A DKIM-Signature field that lacks its signature."""

    key: rsa.SigningKey | Ed25519PrivateKey
    value: bytes
    """The field's value, up to ``b=``."""
    data: bytes
    """The octets to sign (RFC 6376 §3.7)."""


class Signer:
    """Signs messages for one domain with one key.

    ``also_signed`` names custom fields to sign besides the usual ones. Raises NotComposable for an unusable domain,
    ValueError for an unusable selector or key.
    """

    def __init__(self, domain: str, selector: str, private_key: PrivateKey, also_signed: Iterable[str] = ()) -> None:
        if isinstance(private_key, RSAPrivateKey) and private_key.key_size < _LEAST_RSA_BITS:
            raise ValueError(f"an RSA key of {private_key.key_size} bits, fewer than {_LEAST_RSA_BITS}")
        if not selector.isascii() or not all(label.replace("-", "a").isalnum() for label in selector.split(".")):
            raise ValueError(f"{selector!r} is not a selector")
        self._key = rsa.SigningKey(private_key) if isinstance(private_key, RSAPrivateKey) else private_key
        self._signed = frozenset((*_OVERSIGNED, *_SIGNED, *(name.lower().encode("ascii") for name in also_signed)))
        algorithm = "rsa-sha256" if isinstance(private_key, RSAPrivateKey) else "ed25519-sha256"
        tags = ("v=1;", f" a={algorithm};", " c=relaxed/relaxed;", f" d={domain_name(domain)};", f" s={selector};")
        self._head = fold(len("DKIM-Signature: "), tags).encode()

    def unsigned(self, header_fields: Sequence[tuple[bytes, bytes]], body_hash: bytes, signed_at: int) -> Unsigned:
        """The message's DKIM-Signature, to be signed by ``sign_all``. ``body_hash``: the result of the function of this
        name; ``signed_at``: seconds since the epoch. Raises ValueError when there is no From field."""
        names: list[bytes] = []
        signed: list[bytes] = []
        # From the last to the first: the order in which a verifier takes fields that share a name (RFC 6376 §5.4.2).
        for name, value in reversed(header_fields):
            lower = name.lower()
            if lower in self._signed:
                names.append(lower)
                signed.append(b"%b:%b\r\n" % (lower, _relaxed(value)))
        if b"from" not in names:
            raise ValueError("no From field to sign")
        name_list = _name_list((*names, *_OVERSIGNED))
        value = b"%b\r\n t=%d; h=%b;\r\n bh=%b;\r\n b=" % (self._head, signed_at, name_list, body_hash)
        signed.append(b"dkim-signature:" + value.replace(b"\r\n", b""))
        return Unsigned(self._key, value, b"".join(signed))


def sign_all(unsigned: Sequence[Unsigned]) -> list[bytes]:
    """The values of the DKIM-Signature fields. One call signs many, because RSA signatures are made several at a
    time."""
    made = iter(rsa.sign_all([(one.key, one.data) for one in unsigned if isinstance(one.key, rsa.SigningKey)]))
    values = []
    for one in unsigned:
        # RFC 8463 §3: Ed25519 signs the hash.
        signature = next(made) if isinstance(one.key, rsa.SigningKey) else one.key.sign(sha256(one.data).digest())
        text = b64encode(signature)
        lines = [text[:72], *(text[start : start + 75] for start in range(72, len(text), 75))]
        values.append(one.value + b"\r\n ".join(lines))
    return values


def body_hash(body: bytes) -> bytes:
    """The ``bh=`` value of a body with CRLF line ends: SHA-256 over its relaxed form (RFC 6376 §3.4.4), in base64."""
    if len(body) <= SLICE:
        body = _relaxed_lines(body)
        if body.endswith(b"\r\n\r\n") or body == b"\r\n":
            body = body.rstrip(b"\r\n")
            body += b"\r\n" if body else b""
        return b64encode(sha256(body).digest())
    made = sha256()
    begin = line_ends = 0
    begun = False
    while begin < len(body):
        # Some lines at a time: one call for all of them would hold the interpreter lock for too long.
        end = body.find(b"\r\n", begin + SLICE) + 2
        piece = _relaxed_lines(body[begin:end] if end > 1 else body[begin:])
        begin = end if end > 1 else len(body)
        if said := piece.rstrip(b"\r\n"):
            made.update(b"\r\n" * line_ends + said)
            begun, line_ends = True, 0
        line_ends += (len(piece) - len(said)) // 2
    if begun and line_ends:
        made.update(b"\r\n")  # empty lines at the end do not count
    return b64encode(made.digest())


def _relaxed(value: bytes) -> bytes:
    """A field's value in relaxed form (RFC 6376 §3.4.2): unfolded, each run of white space as one space."""
    return _single_spaces(value.replace(b"\r\n", b"")).strip(b" ")


def _relaxed_lines(lines: bytes) -> bytes:
    """Whole lines in relaxed form (RFC 6376 §3.4.4 (a))."""
    return _single_spaces(lines).replace(b" \r\n", b"\r\n")


def _single_spaces(data: bytes) -> bytes:
    """Each run of spaces and tabs as one space. Repeated replacement takes a fifth of a pattern's time: most runs are
    short, and each pass halves them."""
    data = data.replace(b"\t", b" ")
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return data


def _name_list(names: tuple[bytes, ...]) -> bytes:
    """The names joined with colons, on separate lines if they do not fit behind ``t=``. Cached unless they are many,
    since a request's messages have the same fields."""
    return _kept_name_list(names) if len(names) <= _MOST_NAMES else _laid_out(names)


@lru_cache(256)
def _kept_name_list(names: tuple[bytes, ...]) -> bytes:
    return _laid_out(names)


def _laid_out(names: tuple[bytes, ...]) -> bytes:
    lines: list[bytes] = []
    line = b""
    room = LINE - len(" t=1700000000; h=")
    for name in names:
        if line and len(line) + len(name) + 2 > room:
            lines.append(line)
            line, room = b"", LINE - 1
        line += name + b":"
    lines.append(line[:-1])
    return b"\r\n ".join(lines)
