"""Certificates against TLSA records. tests/integration/smtp has the tests with hosts and the DNS."""

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from cluster.policy.tls.dane import Tlsa, check
from cluster.policy.tls.failure import TlsFailure, TlsFault
from tests.certificates import Authority, Certificate

HOST = "mx.example.com"
NOW = datetime.now(UTC)
ROOT = Authority.root()


def failure(certificate: Certificate, *records: Tlsa, names: tuple[str, ...] = (HOST,)) -> TlsFailure | None:
    fault = check(records, certificate.chain, names, NOW)
    return fault.failure if fault is not None else None


def test_any_of_several_records() -> None:
    certificate = ROOT.issue(HOST)
    others = [ROOT.issue(HOST).tlsa(3, 1, 1), Authority.root("next").tlsa(2, 0, 1)]
    assert failure(certificate, *others) is TlsFailure.CERTIFICATE_NOT_TRUSTED
    assert failure(certificate, *others, ROOT.tlsa(2, 0, 1)) is None
    assert failure(certificate, *others, certificate.tlsa(3, 0, 1)) is None


def test_any_of_several_names() -> None:
    certificate = ROOT.issue("example.com")
    assert failure(certificate, ROOT.tlsa(2, 1, 1)) is TlsFailure.CERTIFICATE_HOST_MISMATCH
    assert failure(certificate, ROOT.tlsa(2, 1, 1), names=(HOST, "example.com")) is None
    assert failure(certificate, ROOT.tlsa(2, 1, 1), names=()) is TlsFailure.CERTIFICATE_HOST_MISMATCH


def test_wildcards() -> None:
    assert failure(ROOT.issue("*.example.com"), ROOT.tlsa(2, 1, 1)) is None
    assert failure(ROOT.issue("*.example.org"), ROOT.tlsa(2, 1, 1)) is TlsFailure.CERTIFICATE_HOST_MISMATCH


def test_an_authority_that_the_host_does_not_send() -> None:
    certificate = ROOT.issue(HOST)
    certificate.above = ()
    assert failure(certificate, ROOT.tlsa(2, 0, 1)) is TlsFailure.CERTIFICATE_NOT_TRUSTED
    assert failure(certificate, ROOT.tlsa(2, 0, 0)) is None


def test_a_hosts_own_certificate_is_no_authority() -> None:
    certificate = ROOT.issue(HOST)
    assert failure(certificate, certificate.tlsa(2, 0, 1)) is TlsFailure.CERTIFICATE_NOT_TRUSTED
    assert failure(certificate, ROOT.tlsa(3, 0, 1)) is TlsFailure.CERTIFICATE_NOT_TRUSTED


def test_a_host_cannot_issue_for_another() -> None:
    """A host certificate of an authority must not act as the issuer of another host's certificate."""
    some = ROOT.issue("some.test")
    forger = Authority(some.certificate, some.key, some.above)
    assert failure(forger.issue(HOST), ROOT.tlsa(2, 0, 1)) is TlsFailure.CERTIFICATE_NOT_TRUSTED


def test_the_date_counts_under_an_authority_only() -> None:
    certificate = ROOT.issue(HOST)
    later = NOW + timedelta(days=30)
    fault = check([ROOT.tlsa(2, 0, 1)], certificate.chain, (HOST,), later)
    assert fault is not None
    assert fault.failure is TlsFailure.CERTIFICATE_EXPIRED
    assert check([certificate.tlsa(3, 0, 1)], certificate.chain, (HOST,), later) is None


def test_a_host_that_sends_a_hundred_certificates() -> None:
    """All of them seem to have issued each other; the check still ends soon."""
    key = ec.generate_private_key(ec.SECP256R1())
    same = [Authority.root("same") for _ in range(20)]
    for authority in same:
        authority.key = key
    certificate = same[0].issue(HOST)
    certificate.above = tuple(authority.certificate for authority in same * 5)
    assert failure(certificate, ROOT.tlsa(2, 0, 0)) is TlsFailure.CERTIFICATE_NOT_TRUSTED


def test_the_key_as_it_stands_in_the_certificate() -> None:
    for certificate in (ROOT, ROOT.issue(HOST), ROOT.issue(*(f"{i}.example.com" for i in range(5000)))):
        assert certificate.tlsa(3, 1, 0).data in certificate.der
        assert failure(certificate, certificate.tlsa(3, 1, 0)) is None


def test_what_cannot_be_read() -> None:
    unreadable = TlsFault(TlsFailure.VALIDATION_FAILURE, "DANE: the certificate cannot be read")
    certificate = ROOT.issue(HOST)
    assert check([certificate.tlsa(3, 0, 1)], [], (HOST,), NOW) == unreadable
    assert check([ROOT.tlsa(2, 0, 1)], [b"nonsense"], (HOST,), NOW) == unreadable
    # A malformed record does not prevent the match of another.
    assert check([Tlsa(2, 0, 0, b"nonsense"), ROOT.tlsa(2, 0, 1)], certificate.chain, (HOST,), NOW) is None
