"""The certificate of an SMTP server: of files, or a self-signed one that is created once and kept.

This module owns one PEM file (key and certificate together, so that they always match). No client verifies it against a
public name: it makes opportunistic TLS (RFC 3207, RFC 7435) behave as on the internet.
"""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from cluster.installation.private_files import locked, make_folder, write_whole
from cluster.smtpd.reloading import ReloadedCertificate

_LIFETIME = timedelta(days=365)
_RENEW_BEFORE = timedelta(days=30)
_SKEW = timedelta(days=1)
"""The certificate is valid from this long ago, because clocks differ."""


class OwnCertificate(Struct, frozen=True):
    """A self-signed certificate, which stays as long as the server runs."""

    context: ssl.SSLContext

    async def watch(self) -> None:
        """There is nothing to watch."""


Certificate = OwnCertificate | ReloadedCertificate
"""``context`` is for the server; ``watch`` runs beside it."""


def certificate_of(host: str, directory: Path, certificate: str = "", key: str = "") -> Certificate:
    """The certificate of the file ``certificate``, and the key of ``key`` unless the first has both; without a file a
    self-signed one in ``directory``. Blocks. Raises UnusablePair."""
    if certificate:
        return ReloadedCertificate(Path(certificate), Path(key or certificate))
    return OwnCertificate(server_context(host, directory))


def server_context(host: str, directory: Path, now: datetime | None = None) -> ssl.SSLContext:
    """A TLS ≥ 1.2 server context with a self-signed certificate in ``directory``, created or renewed if necessary.
    Blocks."""
    path = ensure(host, directory, now or datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(path)
    return context


def ensure(host: str, directory: Path, now: datetime) -> Path:
    """The PEM file for ``host``; a new one only if there is none, it is unusable, or it expires soon. Servers that
    share a port start at the same time, and all of them get the same certificate."""
    make_folder(directory)
    path = directory / "certificate.pem"
    with locked(directory):
        if not _is_usable(path, host, now):
            write_whole(path, _create(host, now))
    return path


def _is_usable(path: Path, host: str, now: datetime) -> bool:
    try:
        pem = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(pem)
        key = serialization.load_pem_private_key(pem, password=None)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return (
        path.stat().st_mode & 0o077 == 0
        and certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc - _RENEW_BEFORE
        and certificate.public_key() == key.public_key()
        and set(names) == set(_names(host))
    )


def _names(host: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in dict.fromkeys([host, "localhost"])]
    return names + [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]


def _create(host: str, now: datetime) -> bytes:
    # P-256: every TLS 1.2 client supports it, and its handshake costs a tenth of RSA's.
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName(_names(host)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
