"""A certificate from files: used when it changes, and the old one kept when the new one is broken."""

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cluster.smtpd import certificate, reloading
from cluster.smtpd.reloading import ReloadedCertificate, UnusablePair


class Files:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate, self.key = folder / "fullchain.pem", folder / "privkey.pem"

    def pair(self, name: str, now: datetime | None = None) -> tuple[bytes, bytes]:
        pem = certificate.ensure(name, self.folder / name, now or datetime.now(UTC)).read_bytes()
        key, _, _ = pem.partition(b"-----BEGIN CERTIFICATE-----")
        return pem[len(key) :], key

    def put(self, name: str) -> None:
        for path, octets in zip((self.certificate, self.key), self.pair(name), strict=True):
            path.write_bytes(octets)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(tmp_path)
    files.put("one.example")
    return files


def shown(context: ssl.SSLContext, *, name: str | None = None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> str:
    """The name in the certificate that a client gets."""
    ours, theirs = socket.socketpair()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.maximum_version = version

    def serve() -> None:
        with contextlib.suppress(OSError), context.wrap_socket(theirs, server_side=True) as server:
            server.recv(1)

    server = threading.Thread(target=serve)
    server.start()
    try:
        with ours, client.wrap_socket(ours, server_hostname=name) as connection:
            der = connection.getpeercert(binary_form=True)
    finally:
        server.join()
        theirs.close()
    assert der is not None
    names = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value)


@pytest.mark.parametrize("name", [None, "mail.example"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_new_pair_is_used_from_the_next_handshake_on(files: Files, name: str | None, version: ssl.TLSVersion) -> None:
    reloaded = ReloadedCertificate(files.certificate, files.key)
    assert shown(reloaded.context, name=name, version=version) == "one.example"
    files.put("two.example")
    assert shown(reloaded.context, name=name, version=version) == "one.example"
    reloaded.check()
    assert shown(reloaded.context, name=name, version=version) == "two.example"


def test_old_tls_is_refused(files: Files) -> None:
    assert ReloadedCertificate(files.certificate, files.key).context.minimum_version is ssl.TLSVersion.TLSv1_2


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the module logged as errors. Lines of other levels are captured too if another test has lowered the
    logger's level."""
    records = [record for record in caplog.records if record.name == reloading.__name__]
    return [record.getMessage() for record in records if record.levelno >= logging.ERROR]


def test_a_broken_pair_keeps_the_old_one_and_is_logged_once(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    reloaded = ReloadedCertificate(files.certificate, files.key)
    with caplog.at_level(logging.ERROR, reloading.__name__):
        files.certificate.write_bytes(files.pair("two.example")[0])  # the key follows later
        reloaded.check()
        reloaded.check()
        assert shown(reloaded.context) == "one.example"
        [line] = errors(caplog)
        assert str(files.certificate) in line and "mismatch" in line.lower()
        files.key.write_bytes(files.pair("two.example")[1])
        reloaded.check()
        assert shown(reloaded.context) == "two.example"
        for path in (files.certificate, files.key):
            octets = path.read_bytes()
            path.unlink()
            reloaded.check()
            path.write_bytes(octets[:40])
            reloaded.check()
            assert shown(reloaded.context) == "two.example"
            path.write_bytes(octets)
            reloaded.check()
        assert len(errors(caplog)) == 5


def test_a_link_that_is_switched_counts_as_a_change(files: Files) -> None:
    links = []
    for path in (files.certificate, files.key):
        link = path.with_suffix(".link")
        link.symlink_to(path)
        links.append(link)
    reloaded = ReloadedCertificate(*links)
    for link, octets in zip(links, files.pair("two.example"), strict=True):
        target = link.with_suffix(".second")
        target.write_bytes(octets)
        new = link.with_suffix(".new")
        new.symlink_to(target)
        os.replace(new, link)
    reloaded.check()
    assert shown(reloaded.context) == "two.example"


def test_files_that_cannot_be_used_at_the_start(files: Files) -> None:
    good = files.key.read_bytes()
    files.key.write_bytes(files.pair("two.example")[1])
    with pytest.raises(UnusablePair, match="privkey"):
        ReloadedCertificate(files.certificate, files.key)
    key = serialization.load_pem_private_key(good, None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(UnusablePair, match="passphrase"):
        ReloadedCertificate(files.certificate, files.key)
    files.key.unlink()
    with pytest.raises(UnusablePair, match="No such file"):
        ReloadedCertificate(files.certificate, files.key)


def test_an_expired_certificate_is_used_and_logged(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    old = datetime.now(UTC) - timedelta(days=400)
    for path, octets in zip((files.certificate, files.key), files.pair("old.example", old), strict=True):
        path.write_bytes(octets)
    assert shown(ReloadedCertificate(files.certificate, files.key).context) == "old.example"
    assert "has expired" in caplog.text


async def test_the_files_are_watched(files: Files) -> None:
    reloaded = ReloadedCertificate(files.certificate, files.key)
    watching = asyncio.create_task(reloaded.watch(check_s=0.001))
    files.put("two.example")
    async with asyncio.timeout(10):
        while await asyncio.to_thread(shown, reloaded.context) != "two.example":
            pass
    assert not watching.done()
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
