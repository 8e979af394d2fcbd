"""What one host must prove, for every level and every policy that a domain may publish."""

import pytest

from cluster.policy.tls.dane import NoTlsa, SecureTlsa, Tlsa, UnknownTlsa, usable
from cluster.policy.tls.failure import TlsFailure, of_verify_code
from cluster.policy.tls.level import AuthNeeds, TlsLevel
from cluster.policy.tls.mta_sts import StsMode
from cluster.policy.tls.policy import Demand, DomainTls, PolicyType, TlsRefusal, demand, for_password, stricter

NONE, OPPORTUNISTIC, REQUIRED, VERIFIED = TlsLevel
HOST = "mx.example.com"
GOOD = Tlsa(3, 1, 1, b"x" * 32)
UNUSABLE = Tlsa(1, 1, 1, b"x" * 32)


@pytest.mark.parametrize("level", TlsLevel)
def test_without_a_policy_the_level_stands(level: TlsLevel) -> None:
    assert demand(HOST, DomainTls(level), NoTlsa()) == Demand(level=level)


@pytest.mark.parametrize(
    ("level", "asked"), [(NONE, REQUIRED), (OPPORTUNISTIC, REQUIRED), (REQUIRED, REQUIRED), (VERIFIED, VERIFIED)]
)
@pytest.mark.parametrize("mode", StsMode)
def test_dane(level: TlsLevel, asked: TlsLevel, mode: StsMode) -> None:
    domain_tls = DomainTls(level, mode, ("elsewhere.test",))
    assert demand(HOST, domain_tls, SecureTlsa((UNUSABLE, GOOD))) == Demand(
        level=asked, policy_type=PolicyType.TLSA, records=(GOOD,), published=(UNUSABLE, GOOD)
    )
    assert demand(HOST, domain_tls, SecureTlsa((UNUSABLE,))) == Demand(
        level=asked, policy_type=PolicyType.TLSA, published=(UNUSABLE,), failure=TlsFailure.TLSA_INVALID
    )
    assert demand(HOST, domain_tls, UnknownTlsa("why")) == TlsRefusal(
        reason="DANE: why", failure=TlsFailure.DNSSEC_INVALID, policy_type=PolicyType.TLSA
    )


@pytest.mark.parametrize("level", TlsLevel)
def test_enforce(level: TlsLevel) -> None:
    allowed = DomainTls(level, StsMode.ENFORCE, ("*.example.com",))
    assert demand(HOST, allowed, NoTlsa()) == Demand(level=VERIFIED, policy_type=PolicyType.STS)
    refused = demand("example.com", allowed, NoTlsa())
    assert isinstance(refused, TlsRefusal)
    assert refused.reason == "MTA-STS: example.com is not in the policy"


@pytest.mark.parametrize("level", TlsLevel)
def test_testing(level: TlsLevel) -> None:
    domain_tls = DomainTls(level, StsMode.TESTING, (HOST,))
    assert demand(HOST, domain_tls, NoTlsa()) == Demand(
        level=level, policy_type=PolicyType.STS, rehearse=level in (OPPORTUNISTIC, REQUIRED)
    )
    assert demand("other.test", domain_tls, NoTlsa()) == Demand(
        level=level, policy_type=PolicyType.STS, failure=TlsFailure.VALIDATION_FAILURE
    )


@pytest.mark.parametrize("one", TlsLevel)
@pytest.mark.parametrize("other", TlsLevel)
def test_the_stricter_of_two(one: TlsLevel, other: TlsLevel) -> None:
    order = [NONE, OPPORTUNISTIC, REQUIRED, VERIFIED]
    assert stricter(one, other) is order[max(order.index(one), order.index(other))]


def test_usable_records() -> None:
    records = [
        GOOD,
        GOOD,
        Tlsa(2, 0, 2, b"x" * 64),
        Tlsa(3, 0, 0, b"whole"),
        Tlsa(3, 1, 1, b"short"),
        Tlsa(3, 1, 2, b"x" * 32),
        Tlsa(3, 1, 3, b"x" * 32),
        Tlsa(3, 2, 1, b"x" * 32),
        Tlsa(0, 1, 1, b"x" * 32),
        Tlsa(255, 1, 1, b"x" * 32),
        Tlsa(3, 0, 0, b""),
    ]
    assert usable(records) == (Tlsa(2, 0, 2, b"x" * 64), Tlsa(3, 0, 0, b"whole"), GOOD)


@pytest.mark.parametrize("level", TlsLevel)
def test_what_a_password_needs(level: TlsLevel) -> None:
    asked = Demand(level=level, policy_type=PolicyType.STS, rehearse=True)
    assert for_password(asked, AuthNeeds.NOTHING) == asked
    assert for_password(asked, AuthNeeds.ENCRYPTED).level is stricter(level, REQUIRED)
    verified = for_password(asked, AuthNeeds.VERIFIED)
    assert (verified.level, verified.rehearse) == (VERIFIED, False)
    # A host that a TLSA record authenticates needs no certificate authority.
    named = Demand(level=stricter(level, REQUIRED), policy_type=PolicyType.TLSA, records=(GOOD,))
    assert for_password(named, AuthNeeds.VERIFIED) == named


def test_a_record_as_people_write_it() -> None:
    assert str(Tlsa(3, 1, 1, b"\x00\xab")) == "3 1 1 00AB"


def test_domains_that_ask_for_the_same_are_one_key() -> None:
    one, other = (DomainTls(OPPORTUNISTIC, StsMode.ENFORCE, (HOST,)) for _ in range(2))
    assert {one: 1}[other] == 1


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (10, TlsFailure.CERTIFICATE_EXPIRED),
        (62, TlsFailure.CERTIFICATE_HOST_MISMATCH),
        (18, TlsFailure.CERTIFICATE_NOT_TRUSTED),
        (20, TlsFailure.CERTIFICATE_NOT_TRUSTED),
        (1, TlsFailure.VALIDATION_FAILURE),
    ],
)
def test_what_openssl_says(code: int, failure: TlsFailure) -> None:
    assert of_verify_code(code) is failure
