"""How TLS towards a host can fail, in the terms of RFC 8460 §4.3, with a reason for people."""

from enum import StrEnum

from msgspec import Struct


class TlsFailure(StrEnum):
    """The result types of a TLS report."""

    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION_FAILURE = "validation-failure"
    """Any failure without a more specific type."""
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    DANE_REQUIRED = "dane-required"
    """Never used: nothing here requires DANE of a host that does not offer it."""
    STS_POLICY_FETCH_ERROR = "sts-policy-fetch-error"
    STS_POLICY_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"


class TlsFault(Struct, frozen=True):
    failure: TlsFailure
    reason: str


# OpenSSL's X509_V_ERR_ codes, which ssl.SSLCertVerificationError carries as verify_code.
_EXPIRED = frozenset((9, 10))  # not yet valid, has expired
_WRONG_NAME = frozenset((62, 64))  # hostname, IP address mismatch
_UNTRUSTED = frozenset((2, 7, 18, 19, 20, 21, 22, 24, 26, 27, 28))  # issuer, signature, chain, purpose, trust


def of_verify_code(code: int) -> TlsFailure:
    """The failure for an OpenSSL verification code."""
    if code in _EXPIRED:
        return TlsFailure.CERTIFICATE_EXPIRED
    if code in _WRONG_NAME:
        return TlsFailure.CERTIFICATE_HOST_MISMATCH
    if code in _UNTRUSTED:
        return TlsFailure.CERTIFICATE_NOT_TRUSTED
    return TlsFailure.VALIDATION_FAILURE
