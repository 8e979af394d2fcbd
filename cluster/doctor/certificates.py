"""Checks of certificates: those of our SMTP servers, that of the public URL, and the trusted authorities."""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from cluster.doctor.findings import Finding, Installation, ok, problem
from cluster.doctor.judging import certificates as judging
from cluster.tenancy.domains.publishing import bounce_host

MAX_WAIT_S = 5.0
HTTPS_PORT = 443


def ends(installation: Installation) -> Iterator[Finding]:
    """When each certificate ends, and whether it can be used."""
    settings, now = installation.settings, datetime.now(UTC)
    found = []
    if settings.bounce.bind and settings.bounce.certificate:
        found.append(
            _of_files("bounce.certificate", settings.bounce.certificate, settings.bounce.key, bounce_host(settings))
        )
    if (settings.submission.bind or settings.submission.tls_bind) and settings.submission.certificate:
        found.append(_of_files("submission.certificate", settings.submission.certificate, settings.submission.key))
    if settings.http.public_url.startswith("https:"):
        found.append(_of_server("http.public_url", settings.http.public_url, settings.tls.ca_file))
    for one in found:
        yield judging.of_certificate(one, now)
    if settings.tls.ca_file:
        yield from _of_authorities(settings.tls.ca_file)
    elif not found:
        yield ok("no certificate is named in the settings; postray makes its own")


def _of_files(use: str, certificate: str, key: str, host: str = "") -> judging.Certificate:
    place = Path(certificate)
    try:
        # OpenSSL would ask for a passphrase on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(place, key or place, password=_no_passphrase)
        found = x509.load_pem_x509_certificate(place.read_bytes())
    except (OSError, ValueError) as error:  # includes ssl.SSLError
        return judging.Certificate(use, certificate, fault=str(error))
    return _facts(use, certificate, found, host)


def _of_server(use: str, url: str, ca_file: str) -> judging.Certificate:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or HTTPS_PORT
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
        with (
            socket.create_connection((host, port), timeout=MAX_WAIT_S) as connection,
            context.wrap_socket(connection, server_hostname=host) as secured,
        ):
            der = secured.getpeercert(binary_form=True)
    except OSError as error:  # includes ssl.SSLError
        return judging.Certificate(use, url, fault=str(error))
    assert der is not None
    return _facts(use, url, x509.load_der_x509_certificate(der), host)


def _of_authorities(ca_file: str) -> Iterator[Finding]:
    try:
        authorities = x509.load_pem_x509_certificates(Path(ca_file).read_bytes())
    except (OSError, ValueError) as error:
        yield problem(f"tls.ca_file ({ca_file}) cannot be read, so no host is verified: {error}")
        return
    living = [one for one in authorities if one.not_valid_after_utc > datetime.now(UTC)]
    if living:
        yield ok(f"tls.ca_file has {len(living)} authorities")
    else:
        yield problem(
            f"all authorities of tls.ca_file ({ca_file}) have ended, so no host is verified: replace the file"
        )


def _facts(use: str, place: str, found: x509.Certificate, host: str) -> judging.Certificate:
    try:
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names: list[str] = []
    else:
        names = [
            *extension.get_values_for_type(x509.DNSName),
            *map(str, extension.get_values_for_type(x509.IPAddress)),
        ]
    return judging.Certificate(
        use=use,
        place=place,
        begins=found.not_valid_before_utc,
        ends=found.not_valid_after_utc,
        names=tuple(names),
        host=host,
    )


def _no_passphrase() -> bytes:
    raise ValueError("the key has a passphrase")
