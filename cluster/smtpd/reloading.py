"""A TLS server context from a certificate and a key in files, read again when the files change.

Certificates are renewed while the server runs. Every few seconds the files are looked at, off the event loop; a new
pair is used from the next handshake on. A pair that cannot be used (half written, or the key of another certificate)
leaves the old one in use, and is logged once.
"""

import asyncio
import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from cryptography import x509

log = logging.getLogger(__name__)

CHECK_S = 5.0

_Stamp: TypeAlias = tuple[tuple[int, int, int], ...]
"""Of each file: inode, last change in ns, size. A link that is switched to another file changes the inode."""


class UnusablePair(Exception):
    """The files cannot be read, or are no certificate with its key."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class ReloadedCertificate:
    """``context`` is for servers and stays the same object; ``watch`` keeps its certificate up to date."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """PEM files: the certificate with its chain, and the key without a passphrase; they may be one file. Blocks.
        Raises UnusablePair."""
        self._certificate = certificate
        self._key = key
        self._complaint = ""
        self._stamp = self._look()
        self._current = self._load()
        # A context in use is not loaded again: if the new key failed, it would be left with half a pair. So each
        # handshake is handed to the current one. OpenSSL asks also for clients that name no server.
        self.context = _tls()
        self.context.sni_callback = self._hand_over

    async def watch(self, check_s: float = CHECK_S) -> None:
        """Look at the files until cancelled."""
        while True:
            await asyncio.sleep(check_s)
            await asyncio.to_thread(self.check)

    def check(self) -> None:
        """Use the pair in the files if they have changed since the last look. Blocks."""
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            self._stamp = stamp  # taken before the files are read: what changes meanwhile is seen at the next look
            self._current = self._load()
        except UnusablePair as error:
            if str(error) != self._complaint:
                log.error("the certificate in use stays, its files cannot be used: %s", error)
            self._complaint = str(error)
        else:
            self._complaint = ""

    def _look(self) -> _Stamp:
        try:
            found = [path.stat() for path in (self._certificate, self._key)]
        except OSError as error:
            raise UnusablePair(f"{error.filename}: {error.strerror}") from None
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)

    def _load(self) -> ssl.SSLContext:
        context = _tls()
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_passphrase)
            ends = x509.load_pem_x509_certificate(self._certificate.read_bytes()).not_valid_after_utc
        except (OSError, ValueError) as error:  # includes ssl.SSLError
            raise UnusablePair(f"{self._certificate}, {self._key}: {error}") from None
        if ends <= datetime.now(UTC):
            log.warning("the certificate %s has expired: %s", self._certificate, ends.isoformat())
        else:
            log.info("certificate %s, valid until %s", self._certificate, ends.isoformat())
        return context

    def _hand_over(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._current


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _no_passphrase() -> bytes:
    """OpenSSL would ask on the terminal."""
    raise ValueError("the key has a passphrase")
