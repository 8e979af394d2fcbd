"""A sender domain and its signing keys, as the journal stores them. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from cluster.tenancy.domains.findings import Finding

DkimAlgorithm = Literal["rsa", "ed25519"]

RETIRED_KEPT = timedelta(days=7)
"""How long the record of a retired key stays published: longer than any mail that it signed is on its way."""
WRONG_SHOWN = timedelta(hours=72)
"""A verified domain whose records are wrong for this long is shown as wrong."""
GIVES_WAY = timedelta(days=7)
"""After this long, a domain that was never verified gives way to another tenant."""
MOST_DOMAINS = 3000
"""Domains of a tenant."""


class KeyState(StrEnum):
    PENDING = "pending"
    """It waits until the DNS shows its record."""
    ACTIVE = "active"
    """It signs."""
    RETIRED = "retired"
    """It signed before, and mail that it signed is on its way."""


class DomainState(StrEnum):
    PENDING = "pending"
    """It was never verified: no mail may be sent from it."""
    VERIFIED = "verified"
    WRONG = "wrong"
    """Verified, and its records have been wrong for ``WRONG_SHOWN``. Mail is still sent."""


class DomainKey(Struct, frozen=True, kw_only=True):
    """A signing key of a domain."""

    id: int
    algorithm: DkimAlgorithm
    selector: str
    state: KeyState
    public_key: str
    """The ``p=`` value of its record."""
    sealed_private_key: bytes
    created_at: datetime
    retired_at: datetime | None = None

    @property
    def keep_until(self) -> datetime | None:
        """Until when the record of a retired key stays published; None for other keys."""
        return None if self.retired_at is None else self.retired_at + RETIRED_KEPT

    def may_go(self, now: datetime) -> bool:
        """Whether the record of a retired key may be removed from the DNS."""
        return self.keep_until is not None and now >= self.keep_until


class SenderDomain(Struct, frozen=True, kw_only=True):
    """A domain that a tenant may send from once it is verified."""

    id: int
    tenant_id: str
    domain: str
    """In A-labels."""
    subdomain: str
    """The label of the return path below the domain. "" in domains of older versions: there it is the domain itself."""
    include_subdomains: bool = False
    is_default: bool = False
    uses_cnames: bool = False
    created_at: datetime
    verified_at: datetime | None = None
    checked_at: datetime | None = None
    """When its records were last looked up."""
    wrong_since: datetime | None = None
    """Of a verified domain: since when its records are wrong."""
    findings: tuple[Finding, ...] = ()
    """Of the last look."""
    keys: tuple[DomainKey, ...]
    """In the order in which they were made."""

    @property
    def return_path(self) -> str:
        """The host of the envelope's sender."""
        return f"{self.subdomain}.{self.domain}" if self.subdomain else self.domain

    @property
    def is_rotating(self) -> bool:
        """Whether a key waits to replace one that signs."""
        signing = {key.algorithm for key in self.keys if key.state is KeyState.ACTIVE}
        return any(key.state is KeyState.PENDING and key.algorithm in signing for key in self.keys)

    def state(self, now: datetime) -> DomainState:
        if self.verified_at is None:
            return DomainState.PENDING
        is_wrong = self.wrong_since is not None and now >= self.wrong_since + WRONG_SHOWN
        return DomainState.WRONG if is_wrong else DomainState.VERIFIED

    def finding(self, host: str, kind: str) -> Finding | None:
        """The finding of the last look for a record; None when it was not looked up."""
        return next((found for found in self.findings if found.host == host and found.kind == kind), None)


class NewKey(Struct, frozen=True, kw_only=True):
    """A signing key to store. The private key is sealed (cluster.vault)."""

    algorithm: DkimAlgorithm
    selector: str
    public_key: str
    sealed_private_key: bytes


class NewDomain(Struct, frozen=True, kw_only=True):
    """A sender domain to store."""

    tenant_id: str
    domain: str
    subdomain: str
    include_subdomains: bool = False
    is_default: bool = False
    uses_cnames: bool = False
    is_verified: bool = False
    """Verified without a look at the DNS: its keys sign at once, and it is looked at on demand only."""
    keys: Sequence[NewKey]


class Look(Struct, frozen=True, kw_only=True):
    """The result of one look at a domain's records."""

    at: datetime
    findings: tuple[Finding, ...]
    is_right: bool
    """All that mail needs is valid."""
    is_wrong: bool
    """Something that mail needs is missing or wrong."""
    activated: tuple[str, ...]
    """Selectors of pending keys that may sign."""
    next_at: datetime


class Held(Exception):
    """The domain belongs to a tenant already."""

    def __init__(self, domain: str, *, is_own: bool, gives_way_at: datetime | None = None) -> None:
        """``is_own``: to the tenant itself. ``gives_way_at``: when it gives way if it is not verified before."""
        super().__init__(domain)
        self.domain = domain
        self.is_own = is_own
        self.gives_way_at = gives_way_at


class TooMany(Exception):
    """The tenant has ``MOST_DOMAINS``."""
