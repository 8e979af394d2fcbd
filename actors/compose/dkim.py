"""DKIM signatures (RFC 6376), RSA and Ed25519 (RFC 8463).

This module owns the choice of signed fields, and the form of DKIM-Signature. relaxed.py canonicalises. It does not
verify (the tests use dkimpy for that), make or keep a key (``cluster.dkim_keys``), or read a clock.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from msgspec import Struct

from actors.compose import ed25519, rsa
from actors.compose.relaxed import relaxed_lines, relaxed_values, without_empty_end
from cluster.dkim_keys import PrivateKey
from cluster.joining import getter
from cluster.message.header_fields import domain_name, fold
from cluster.message.transfer_encoding import LINE

_OVERSIGNED = (
    *(b"from", b"reply-to", b"to", b"cc", b"subject", b"date", b"message-id", b"mime-version", b"content-type"),
    *(b"content-transfer-encoding", b"list-unsubscribe", b"list-unsubscribe-post"),
)
"""RFC 6376 §5.4.1, and the fields that RFC 8058 §4 requires for one-click unsubscription. Each is named once more than
it occurs, even if it does not occur: a field added in transit then breaks the signature (RFC 6376 §8.15)."""
_SIGNED = (b"sender", b"in-reply-to", b"references", b"list-id", b"feedback-id")
"""RFC 6376 §5.4.1 again. If they are missing they may be added in transit, as mailing lists do."""

_USUALLY_SIGNED = frozenset((*_OVERSIGNED, *_SIGNED))
"""One object for all domains: a layout is found by it in no time."""

_LEAST_RSA_BITS = 2048
"""RFC 8301 §3.2: the least that signers should use. Every key that postray makes has it."""


_MOST_NAMES = 50
"""Names of header fields in a cached layout; each name has less than 1,000 octets."""


class Unsigned(Struct, frozen=True):
    """A DKIM-Signature field that lacks its signature."""

    key: rsa.SigningKey | ed25519.SigningKey
    value: bytes
    """The field's value, up to ``b=``."""
    digest: bytes
    """The SHA-256 of the octets to sign (RFC 6376 §3.7)."""


class _KeyTags(Struct, frozen=True):
    """The first tags of a key's DKIM-Signature fields, up to the selector."""

    key: rsa.SigningKey | ed25519.SigningKey
    head: bytes
    relaxed: bytes
    """The name of the field and ``head``, in relaxed form."""


class Signer:
    """Signs messages for one domain with each of its keys, by selector: one with an RSA key, and one with an Ed25519
    key for verifiers that know RFC 8463.

    The signatures with RSA keys come first, so that a verifier that looks at one signature finds one that every
    verifier knows. No signature covers another.

    ``also_signed`` names custom fields to sign besides the usual ones. Raises NotComposable for an unusable domain,
    ValueError for an unusable selector or key, and where there is no key.
    """

    def __init__(self, domain: str, keys: Mapping[str, PrivateKey], also_signed: Iterable[str] = ()) -> None:
        if not keys:
            raise ValueError("no key to sign with")
        in_order = sorted(keys.items(), key=lambda item: not isinstance(item[1], RSAPrivateKey))
        self._keys = tuple([_tags_of(domain, selector, key) for selector, key in in_order])
        also = frozenset([name.lower().encode("ascii") for name in also_signed])
        self._signed = _USUALLY_SIGNED | also if also else _USUALLY_SIGNED

    def unsigned(
        self, header_fields: Sequence[tuple[bytes, bytes]], body_hash: bytes, signed_at: int
    ) -> list[Unsigned]:
        """The message's DKIM-Signature fields in their order, to be signed by ``sign_all``. ``body_hash``: the result
        of the function of this name; ``signed_at``: seconds since the epoch. Raises ValueError when there is no From
        field."""
        layout = _layout(self._signed, tuple([name for name, _ in header_fields]))
        tags = b"\r\n t=%d; h=%b;\r\n bh=%b;\r\n b=" % (signed_at, layout.names, body_hash)
        relaxed = tags.replace(b"\r\n", b"")
        values = relaxed_values([value for _, value in layout.of(header_fields)])
        signed_fields = sha256(layout.form % tuple(values))  # what all keys sign, hashed once
        found = []
        for own in self._keys:
            digest = signed_fields.copy()
            digest.update(own.relaxed + relaxed)
            found.append(Unsigned(own.key, own.head + tags, digest.digest()))
        return found


def _tags_of(domain: str, selector: str, key: PrivateKey) -> _KeyTags:
    if isinstance(key, RSAPrivateKey) and key.key_size < _LEAST_RSA_BITS:
        raise ValueError(f"an RSA key of {key.key_size} bits, fewer than {_LEAST_RSA_BITS}")
    if not selector.isascii() or not all(label.replace("-", "a").isalnum() for label in selector.split(".")):
        raise ValueError(f"{selector!r} is not a selector")
    algorithm = "rsa-sha256" if isinstance(key, RSAPrivateKey) else "ed25519-sha256"
    tags = ("v=1;", f" a={algorithm};", " c=relaxed/relaxed;", f" d={domain_name(domain)};", f" s={selector};")
    head = fold(len("DKIM-Signature: "), tags).encode()
    signing_key = rsa.SigningKey(key) if isinstance(key, RSAPrivateKey) else ed25519.SigningKey(key)
    return _KeyTags(signing_key, head, b"dkim-signature:" + head.replace(b"\r\n", b""))


def sign_all(unsigned: Sequence[Unsigned]) -> list[bytes]:
    """The values of the DKIM-Signature fields. One call signs many, because signatures are made several at a time."""
    by_rsa = iter(rsa.sign_all([(one.key, one.digest) for one in unsigned if isinstance(one.key, rsa.SigningKey)]))
    by_ed25519 = iter(
        ed25519.sign_all([(one.key, one.digest) for one in unsigned if isinstance(one.key, ed25519.SigningKey)])
    )
    values = []
    for one in unsigned:
        text = b64encode(next(by_rsa if isinstance(one.key, rsa.SigningKey) else by_ed25519))
        lines = [text[start : start + 75] for start in range(72, len(text), 75)]
        values.append(b"\r\n ".join([one.value + text[:72], *lines]))
    return values


def body_hash(body: bytes, relaxed: bytes | None = None) -> bytes:
    """The ``bh=`` value of a body with CRLF line ends: SHA-256 over its relaxed form (RFC 6376 §3.4.4), in base64.
    ``relaxed``: its lines in that form, if that is known."""
    return b64encode(sha256(without_empty_end(relaxed_lines(body) if relaxed is None else relaxed)).digest())


class _Layout(Struct, frozen=True):
    """How header fields of some names are signed."""

    of: Callable[[Sequence[tuple[bytes, bytes]]], tuple[tuple[bytes, bytes], ...]]
    """Gives the fields to sign."""
    form: bytes
    """What is hashed of these, with ``%b`` for each value."""
    names: bytes
    """The value of ``h=``."""


def _layout(signed: frozenset[bytes], names: tuple[bytes, ...]) -> _Layout:
    """How fields of these names are signed, if those of ``signed`` are. Cached unless they are many, since a request's
    messages have the same fields. Raises ValueError when there is no From field."""
    return _kept_layout(signed, names) if len(names) <= _MOST_NAMES else _layout_of(signed, names)


@lru_cache(128)
def _kept_layout(signed: frozenset[bytes], names: tuple[bytes, ...]) -> _Layout:
    return _layout_of(signed, names)


def _layout_of(signed: frozenset[bytes], names: tuple[bytes, ...]) -> _Layout:
    # From the last to the first: the order in which a verifier takes fields that share a name (RFC 6376 §5.4.2).
    found = [(at, lower) for at, name in reversed([*enumerate(names)]) if (lower := name.lower()) in signed]
    lowered = [lower for _, lower in found]
    if b"from" not in lowered:
        raise ValueError("no From field to sign")
    form = b"".join([b"%b:%%b\r\n" % lower.replace(b"%", b"%%") for lower in lowered])
    return _Layout(getter([at for at, _ in found]), form, _laid_out((*lowered, *_OVERSIGNED)))


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
