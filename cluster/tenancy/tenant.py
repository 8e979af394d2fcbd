"""What a request or a delivery must know of its tenant, as one record. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from msgspec import Struct

from cluster.tenancy.limits import DEFAULTS as DEFAULT_LIMITS
from cluster.tenancy.limits import RequestLimits
from cluster.tenancy.settings import DEFAULTS, TenantSettings

NO_OTHERS: Mapping[str, bool] = MappingProxyType({})
"""Most tenants share it."""
AFTER_SUSPENSION = timedelta(days=1)
"""Mail that a suspension delayed is tried for at least so long after the tenant was resumed."""


class Tenant(Struct, frozen=True, kw_only=True, gc=False):
    """A tenant. Most have few domains and the default settings and limits, so a record takes about 1 KB."""

    id: str
    name: str
    number: int = 0
    """Names it in the tokens of tracked mail, where its id would be too long."""
    is_suspended: bool = False
    suspended_for: str = ""
    """Why it is suspended, where a rate did that; "" otherwise."""
    resumed_at: datetime | None = None
    """When its last suspension ended."""
    senders: Mapping[str, bool] = {}
    """The verified sender domains in A-labels, each with whether its sub-domains are included."""
    settings: TenantSettings = DEFAULTS
    limits: RequestLimits = DEFAULT_LIMITS
    link_host: str = ""
    """The tenant's own host for tracking, unsubscribe and image URLs; "" is that of the installation."""

    others: Mapping[str, bool] = NO_OTHERS
    """Verified domains of other tenants below those of this one that include their sub-domains; as ``senders``."""

    @property
    def tries_until(self) -> datetime | None:
        """Until when mail is tried that would expire before; None: no suspension has delayed it."""
        return self.resumed_at + AFTER_SUSPENSION if self.resumed_at is not None else None

    def sender_domain(self, domain: str) -> str | None:
        """The verified domain under which the tenant may send from ``domain`` (A-labels): itself, or the closest
        parent that includes its sub-domains. None when there is none, or another tenant has a closer one."""
        if domain in self.senders:
            return domain
        if domain in self.others:
            return None
        _, _, parent = domain.partition(".")
        while parent:
            if self.senders.get(parent):
                return parent
            if self.others.get(parent):
                return None
            _, _, parent = parent.partition(".")
        return None
