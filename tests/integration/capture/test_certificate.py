"""The certificate is private, kept while it is valid, and replaced when it is not."""

import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cluster.smtpd import certificate

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_it_is_kept_until_it_nears_its_end(tmp_path: Path) -> None:
    path = certificate.ensure("mail.example", tmp_path, NOW)
    first = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert certificate.ensure("mail.example", tmp_path, NOW + timedelta(days=300)).read_bytes() == first
    assert certificate.ensure("mail.example", tmp_path, NOW + timedelta(days=340)).read_bytes() != first
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_replaced_if_it_does_not_fit(tmp_path: Path) -> None:
    path = certificate.ensure("mail.example", tmp_path, NOW)
    first = path.read_bytes()
    second = certificate.ensure("other.example", tmp_path, NOW).read_bytes()
    assert second != first
    path.write_bytes(b"rubbish")
    third = certificate.ensure("other.example", tmp_path, NOW).read_bytes()
    assert third not in (b"rubbish", second)
    path.chmod(0o644)
    assert certificate.ensure("other.example", tmp_path, NOW).read_bytes() != third
    assert path.stat().st_mode & 0o777 == 0o600


def test_old_tls_is_refused(tmp_path: Path) -> None:
    context = certificate.server_context("localhost", tmp_path)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_servers_that_start_together_get_the_same(tmp_path: Path) -> None:
    directory = tmp_path / "tls"
    with ThreadPoolExecutor(8) as starting:
        found = list(starting.map(lambda _: certificate.ensure("mail.example", directory, NOW).read_bytes(), range(8)))
    assert len(set(found)) == 1
