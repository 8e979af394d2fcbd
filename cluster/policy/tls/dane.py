"""DANE for SMTP (RFC 6698, RFC 7671, RFC 7672): which TLSA records can be used, and whether a certificate matches.

Supported: DANE-EE(3), which names the host's own certificate or key, and where neither names nor dates matter (RFC 7672
§3.1.1), and DANE-TA(2), which names an authority that must have issued the certificate to the host (§3.1.2).
PKIX-TA(0) and PKIX-EE(1) are unusable (§3.1.3). The authority of a DANE-TA record must be among the certificates that
the host sends, or whole in the record (2 0 0): a bare key of an authority that is not sent (2 1 0) does not match.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError
from msgspec import Struct

from cluster.policy.tls.failure import TlsFailure, TlsFault

DANE_TA = 2
DANE_EE = 3

_DIGEST_BYTES = {1: 32, 2: 64}

_VERSION = 0xA0  # the tag of the only optional field

_MOST_ABOVE = 4
"""Certificates above the host's own that are examined. A host may send a hundred that all seem to have issued each
other, and every path through them would be tried."""


class Tlsa(Struct, frozen=True, order=True):
    """A TLSA record (RFC 6698 §2.1)."""

    usage: int
    selector: int
    """0 the certificate, 1 its public key (SubjectPublicKeyInfo)."""
    matching: int
    """0 as it is, 1 its SHA-256, 2 its SHA-512."""
    data: bytes

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex().upper()}"


class SecureTlsa(Struct, frozen=True, tag="secure"):
    """TLSA records that DNSSEC validates; never empty."""

    records: tuple[Tlsa, ...]
    base: str = ""
    """The name of the records (TLSA base domain, RFC 7672 §2.2.3); it is the server name of the handshake. "" is the
    host's own."""


class NoTlsa(Struct, frozen=True, tag="none"):
    """There are no records, or they or the host's name are not validated: DANE does not apply."""


class UnknownTlsa(Struct, frozen=True, tag="unknown"):
    """The look-up failed, or the answer is forged: the host must not be used (RFC 7672 §2.1.1)."""

    reason: str


TlsaLookup = SecureTlsa | NoTlsa | UnknownTlsa


def usable(records: Iterable[Tlsa]) -> tuple[Tlsa, ...]:
    """The records that can be checked, sorted, so that equal sets are equal values."""
    return tuple(sorted({record for record in records if _is_usable(record)}))


def _is_usable(record: Tlsa) -> bool:
    if record.usage not in (DANE_TA, DANE_EE) or record.selector not in (0, 1):
        return False
    if record.matching == 0:
        return bool(record.data)
    return len(record.data) == _DIGEST_BYTES.get(record.matching)


def check(records: Sequence[Tlsa], chain: Sequence[bytes], names: Sequence[str], now: datetime) -> TlsFault | None:
    """None when a record matches; otherwise the fault.

    ``chain``: certificates (DER) as the host sent them, its own first. ``names``: those it may have under DANE-TA: the
    host's and the domain's, with aliases resolved and unresolved (RFC 7672 §3.2.2). ``now``: timezone-aware.
    """
    sent = chain[: 1 + _MOST_ABOVE]
    try:
        certificates = [_read(der) for der in sent]
        if any(record.usage == DANE_EE and _matches(record, certificates[0]) for record in records):
            return None
        anchors = _anchors([record for record in records if record.usage == DANE_TA], certificates[1:])
    except (ValueError, IndexError):
        return TlsFault(TlsFailure.VALIDATION_FAILURE, "DANE: the certificate cannot be read")
    if not anchors:
        return TlsFault(TlsFailure.CERTIFICATE_NOT_TRUSTED, "DANE: no TLSA record matches the certificate")
    return _check_issued(certificates[0], certificates[1:], anchors, names, now)


def _read(der: bytes) -> x509.Certificate:
    """Raises ValueError when the certificate is invalid or of an unknown version."""
    try:
        return x509.load_der_x509_certificate(der)
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from error


def _matches(record: Tlsa, certificate: x509.Certificate) -> bool:
    selected = certificate.public_bytes(Encoding.DER) if record.selector == 0 else _public_key(certificate)
    match record.matching:
        case 1:
            selected = hashlib.sha256(selected).digest()
        case 2:
            selected = hashlib.sha512(selected).digest()
    return hmac.compare_digest(selected, record.data)


def _public_key(certificate: x509.Certificate) -> bytes:
    """SubjectPublicKeyInfo as the certificate contains it. Encoding the key again might change it (RFC 5480 §2.2 allows
    two forms of a point), and would require knowing its algorithm."""
    tbs = certificate.tbs_certificate_bytes  # RFC 5280 §4.1
    position = _content(tbs, 0)[0]
    before = 6 if tbs[position] == _VERSION else 5  # version, serial number, signature, issuer, validity, subject
    for _ in range(before):
        position = _content(tbs, position)[1]
    return tbs[position : _content(tbs, position)[1]]


def _content(der: bytes, start: int) -> tuple[int, int]:
    """The start and the end of an element's content. The certificate parser has checked that it is well formed."""
    length, position = der[start + 1], start + 2
    if length >= 0x80:
        position += length - 0x80
        length = int.from_bytes(der[start + 2 : position], "big")
    return position, position + length


def _anchors(records: Sequence[Tlsa], sent: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The authorities that the records name."""
    anchors = [certificate for certificate in sent if any(_matches(record, certificate) for record in records)]
    for record in records:
        if (record.selector, record.matching) == (0, 0):
            with suppress(ValueError):  # an unreadable record must not prevent another from matching
                anchors.append(_read(record.data))
    return anchors


def _check_issued(
    leaf: x509.Certificate,
    intermediates: list[x509.Certificate],
    anchors: list[x509.Certificate],
    names: Sequence[str],
    now: datetime,
) -> TlsFault | None:
    reason = ""
    for name in names:
        reason = _refusal(leaf, intermediates, anchors, name, now)
        if not reason:
            return None
    failure = TlsFailure.CERTIFICATE_NOT_TRUSTED
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        failure = TlsFailure.CERTIFICATE_EXPIRED
    elif any(not _refusal(leaf, intermediates, anchors, name, now) for name in _own_names(leaf)):
        failure = TlsFailure.CERTIFICATE_HOST_MISMATCH
    return TlsFault(failure, f"DANE: {reason or 'no name to check'}")


def _refusal(
    leaf: x509.Certificate,
    intermediates: list[x509.Certificate],
    anchors: list[x509.Certificate],
    name: str,
    now: datetime,
) -> str:
    """Why the authorities do not validate this certificate for this name; "" when they do."""
    # A private certificate need not have what public authorities must include, only its name.
    policy = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    builder = (
        PolicyBuilder()
        .store(Store(anchors))
        .time(now)
        .max_chain_depth(_MOST_ABOVE)
        .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=policy)
    )
    try:
        builder.build_server_verifier(x509.DNSName(name)).verify(leaf, intermediates)
    except (VerificationError, ValueError) as error:
        return str(error).removeprefix("validation failed: ").partition(" (encountered")[0]
    return ""


def _own_names(leaf: x509.Certificate) -> list[str]:
    """One name that the certificate is valid for, if it has any; a wildcard is valid for "a"."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return []  # none that could be read
    return [name.replace("*", "a", 1) for name in names.get_values_for_type(x509.DNSName)[:1]]
