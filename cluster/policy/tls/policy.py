"""Which TLS a host must offer: the stricter of the shaping's level and what the domain publishes (DANE, MTA-STS).

Pure. DANE precedes MTA-STS for the hosts it covers (RFC 8461 §2); neither weakens the operator's level.
"""

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from cluster.policy.tls import dane
from cluster.policy.tls.failure import TlsFailure
from cluster.policy.tls.level import AuthNeeds, TlsLevel
from cluster.policy.tls.mta_sts import StsMode, allows


class MxSecurity(StrEnum):
    """Whether DNSSEC validates the domain's MX records (RFC 7672 §2.2.1)."""

    INSECURE = "insecure"
    """Not validated, or not asked for: DANE does not apply."""
    SECURE = "secure"
    """Validated, or there are no MX records: the host's own addresses decide."""
    UNKNOWN = "unknown"
    """No answer, or a forged one."""


class SecureMx(Struct, frozen=True):
    """The DNSSEC state of a domain's MX records."""

    security: MxSecurity
    alias_of: str = ""
    """The name that secure aliases of the domain lead to; "" when it has none."""


class DomainTls(Struct, frozen=True):
    """The TLS requirements for every host of a domain. As a value: domains with equal ones can share connections."""

    level: TlsLevel = TlsLevel.OPPORTUNISTIC
    """The level of the shaping."""
    mode: StsMode = StsMode.NONE
    mx: tuple[str, ...] = ()
    """The patterns of the MTA-STS policy."""
    mx_security: MxSecurity = MxSecurity.INSECURE
    alias_of: str = ""
    """The name that the domain is a secure alias of: its hosts may have a certificate for that name."""
    carries_reports: bool = False
    """Connections carry TLS reports only, and do not count for the next reports (RFC 8460 §3)."""

    @property
    def for_reports(self) -> "DomainTls":
        """The requirements for TLS reports (RFC 8460 §3): they must arrive even where the TLS that they report on
        fails, so what the domain publishes does not hold for them. The operator's level does."""
        return self if self.carries_reports else DomainTls(self.level, carries_reports=True)


class TenantTls(Struct, frozen=True):
    """What a tenant requires of every host for its own mail."""

    level: TlsLevel
    """REQUIRED or VERIFIED."""
    version: float = 1.2
    """The lowest version of TLS: 1.2 or 1.3."""

    @property
    def reason(self) -> str:
        """Why a host without it gets no mail of the tenant."""
        return f"the tenant requires TLS{' 1.3' if self.version >= 1.3 else ''}" + (
            " and a valid certificate" if self.level is TlsLevel.VERIFIED else ""
        )


class PolicyType(StrEnum):
    """The policy that a session was checked against (RFC 8460 §4.4)."""

    TLSA = "tlsa"
    STS = "sts"
    NONE = "no-policy-found"


class Demand(Struct, frozen=True, kw_only=True):
    """What one host must offer."""

    level: TlsLevel
    policy_type: PolicyType = PolicyType.NONE
    records: tuple[dane.Tlsa, ...] = ()
    """One of these must match, besides the requirement of the level."""
    base: str = ""
    """The name of the records; "" is the host's."""
    published: tuple[dane.Tlsa, ...] = ()
    """The TLSA records as found."""
    rehearse: bool = False
    """Try verification and count its failure, then send without it (MTA-STS mode testing)."""
    failure: TlsFailure | None = None
    """A failure of the domain's policy that does not prevent delivery."""


class TlsRefusal(Struct, frozen=True, kw_only=True):
    """The host must not be used now."""

    reason: str
    failure: TlsFailure
    policy_type: PolicyType


_STRENGTH = list(TlsLevel)


def stricter(one: TlsLevel, other: TlsLevel) -> TlsLevel:
    return max(one, other, key=_STRENGTH.index)


def demand(host: str, domain_tls: DomainTls, tlsa: dane.TlsaLookup) -> Demand | TlsRefusal:
    """The demand on a host of the domain, given the result of its TLSA look-up."""
    match tlsa:
        case dane.UnknownTlsa(reason=reason):
            return TlsRefusal(reason=f"DANE: {reason}", failure=TlsFailure.DNSSEC_INVALID, policy_type=PolicyType.TLSA)
        case dane.SecureTlsa(records=published, base=base):
            records = dane.usable(published)
            # RFC 7672 §2.2: records that are all unusable still say that the host has TLS.
            return Demand(
                level=stricter(domain_tls.level, TlsLevel.REQUIRED),
                policy_type=PolicyType.TLSA,
                records=records,
                base=base if records else "",
                published=published,
                failure=None if records else TlsFailure.TLSA_INVALID,
            )
    if domain_tls.mode is StsMode.NONE:
        return Demand(level=domain_tls.level)
    allowed = allows(domain_tls.mx, host)
    if domain_tls.mode is StsMode.ENFORCE:
        if not allowed:
            return TlsRefusal(
                reason=f"MTA-STS: {host} is not in the policy",
                failure=TlsFailure.VALIDATION_FAILURE,
                policy_type=PolicyType.STS,
            )
        return Demand(level=TlsLevel.VERIFIED, policy_type=PolicyType.STS)
    return Demand(
        level=domain_tls.level,
        policy_type=PolicyType.STS,
        rehearse=allowed and domain_tls.level in (TlsLevel.OPPORTUNISTIC, TlsLevel.REQUIRED),
        failure=None if allowed else TlsFailure.VALIDATION_FAILURE,
    )


def for_password(asked: Demand, needs: AuthNeeds) -> Demand:
    """The demand on a host that is also sent a password."""
    # A matching TLSA record proves as much as an authority does (RFC 7672 §3.1).
    if needs is AuthNeeds.NOTHING or (needs is AuthNeeds.VERIFIED and asked.records):
        return asked
    rehearse = asked.rehearse and needs is not AuthNeeds.VERIFIED
    return replace(asked, level=stricter(asked.level, needs.level), rehearse=rehearse)


def for_tenant(asked: Demand, required: TenantTls) -> Demand:
    """The demand on a host for the mail of a tenant with a requirement of its own."""
    # A matching TLSA record proves as much as an authority does (RFC 7672 §3.1).
    level = TlsLevel.REQUIRED if asked.records else required.level
    level = stricter(asked.level, level)
    if required.version >= 1.3 and asked.rehearse:
        # The tenant's version must not make a rehearsal of the domain's policy fail: it does not count.
        return replace(asked, level=level, rehearse=False, policy_type=PolicyType.NONE)
    return replace(asked, level=level, rehearse=asked.rehearse and level is not TlsLevel.VERIFIED)
