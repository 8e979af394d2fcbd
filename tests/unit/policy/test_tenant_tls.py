"""What a tenant requires of TLS, joined with what the domain publishes and the operator demands."""

import pytest

from cluster.policy.replies.effects import OfSite, Unreached, effects_of
from cluster.policy.replies.stage import Stage
from cluster.policy.replies.verdict import judge_silence
from cluster.policy.tls.dane import Tlsa
from cluster.policy.tls.level import TlsLevel
from cluster.policy.tls.policy import Demand, PolicyType, TenantTls, for_tenant
from cluster.tenancy.settings import TenantSettings

RECORD = Tlsa(3, 1, 1, b"x" * 32)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (TenantSettings(), None),
        (TenantSettings(tls_version=1.3), None),
        (TenantSettings(require_tls=True), TenantTls(TlsLevel.REQUIRED)),
        (TenantSettings(require_valid_certificate=True), TenantTls(TlsLevel.VERIFIED)),
        (TenantSettings(require_tls=True, tls_version=1.3), TenantTls(TlsLevel.REQUIRED, 1.3)),
    ],
)
def test_the_settings_of_a_tenant_say_what_it_requires(settings: TenantSettings, expected: TenantTls | None) -> None:
    assert settings.tls == expected


@pytest.mark.parametrize("shaped", list(TlsLevel))
@pytest.mark.parametrize("required", [TlsLevel.REQUIRED, TlsLevel.VERIFIED])
def test_the_stricter_level_applies(shaped: TlsLevel, required: TlsLevel) -> None:
    level = for_tenant(Demand(level=shaped), TenantTls(required)).level
    order = list(TlsLevel)
    assert level is max(shaped, required, key=order.index)


def test_a_matching_record_proves_as_much_as_an_authority() -> None:
    asked = Demand(level=TlsLevel.REQUIRED, policy_type=PolicyType.TLSA, records=(RECORD,))
    assert for_tenant(asked, TenantTls(TlsLevel.VERIFIED)) == asked


def test_a_tenants_version_does_not_fail_the_rehearsal_of_a_domains_policy() -> None:
    asked = Demand(level=TlsLevel.OPPORTUNISTIC, policy_type=PolicyType.STS, rehearse=True)
    found = for_tenant(asked, TenantTls(TlsLevel.REQUIRED, 1.3))
    assert (found.rehearse, found.policy_type) == (False, PolicyType.NONE)
    assert for_tenant(asked, TenantTls(TlsLevel.REQUIRED)).rehearse


def test_a_site_does_not_back_off_for_what_one_tenant_requires() -> None:
    verdict = judge_silence(Stage.STARTTLS)
    for is_of_tenant, of_site in ((True, OfSite.UNTOUCHED), (False, OfSite.BACKS_OFF)):
        facts = Unreached(is_own_site=True, is_of_tenant=is_of_tenant)
        assert effects_of(verdict, Stage.STARTTLS, facts).site is of_site
