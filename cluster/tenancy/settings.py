"""The defaults of a tenant, as it sets them: they are stored as JSON, without the parts that it never set. Pure.

A request's settings merge over them.
"""

from typing import Literal

import msgspec
from msgspec import Struct

from cluster.policy.tls.level import TlsLevel
from cluster.policy.tls.policy import TenantTls

ImageMode = Literal["proxy", "cid"]
"""Whether mail names images by URL, or carries them with it."""


class ClickTracking(Struct, frozen=True, kw_only=True):
    """Links lead through the tracking host, which records each click."""

    enabled: bool = True
    enable_text: bool = False
    """Also the links of plain text."""


class OpenTracking(Struct, frozen=True, kw_only=True):
    """An invisible image records that a message was opened."""

    enabled: bool = True


class SubscriptionTracking(Struct, frozen=True, kw_only=True):
    """Each message ends with an unsubscribe link."""

    enabled: bool = False
    html_content: str = ""
    plain_content: str = ""
    landing: str = ""
    """The page that an unsubscribe shows."""
    replace: str = ""
    """The tag that the link takes the place of."""
    url: str = ""
    """The page that an unsubscribe leads to; it takes the place of ``landing``."""


class UnsubscribePage(Struct, frozen=True, kw_only=True):
    """The look of the page on which recipients unsubscribe."""

    text: str = ""
    """Shown on it, as plain text."""
    colour: str = ""
    """Of its bar and button, ``#rrggbb``; "" is the usual one."""


class GoogleAnalytics(Struct, frozen=True, kw_only=True):
    """Parameters that are added to the targets of links."""

    enabled: bool = False
    utm_source: str = ""
    utm_medium: str = ""
    utm_term: str = ""
    utm_content: str = ""
    utm_campaign: str = ""


class DefaultFooter(Struct, frozen=True, kw_only=True):
    """A text at the end of each message."""

    enabled: bool = False
    html_content: str = ""
    plain_content: str = ""


class AddressWhitelist(Struct, frozen=True, kw_only=True):
    """Addresses and domains that no suppression list holds back."""

    enabled: bool = False
    list: tuple[str, ...] = ()


class BouncePurge(Struct, frozen=True, kw_only=True):
    """After how many days an entry leaves the bounce list; None: never."""

    enabled: bool = False
    soft_bounces: int | None = None
    hard_bounces: int | None = None


class Forwarding(Struct, frozen=True, kw_only=True):
    """Addresses that get a copy of each report, separated by commas."""

    enabled: bool = False
    email: str = ""


class TenantSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All settings of a tenant."""

    click: ClickTracking = ClickTracking()
    open: OpenTracking = OpenTracking()
    subscription: SubscriptionTracking = SubscriptionTracking()
    unsubscribe_page: UnsubscribePage = UnsubscribePage()
    google_analytics: GoogleAnalytics = GoogleAnalytics()
    footer: DefaultFooter = DefaultFooter()
    address_whitelist: AddressWhitelist = AddressWhitelist()
    bounce_purge: BouncePurge = BouncePurge()
    forward_bounce: Forwarding = Forwarding()
    forward_spam: Forwarding = Forwarding()
    require_tls: bool = False
    """Mail goes over TLS only."""
    require_valid_certificate: bool = False
    """Mail goes to hosts with a valid certificate only."""
    tls_version: float = 1.2
    """The lowest version of TLS."""
    image_embed_mode: ImageMode = "proxy"
    time_zone: str = "UTC"
    """The zone of the days of statistics."""
    bodies_days: int | None = None
    """Days after which the bodies of finished messages go; None: as retention.bodies_days says."""
    submission_idempotency: bool = False
    """The Message-ID of a submitted message is its idempotency key."""

    @property
    def tls(self) -> TenantTls | None:
        """What deliveries must keep to; None where nothing is required."""
        if not (self.require_tls or self.require_valid_certificate):
            return None
        level = TlsLevel.VERIFIED if self.require_valid_certificate else TlsLevel.REQUIRED
        return TenantTls(level, self.tls_version)


DEFAULTS = TenantSettings()

encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(TenantSettings)


def decode(stored: str | bytes | None) -> TenantSettings:
    """The settings as the journal stores them; None and ``{}`` are the defaults, which all tenants share."""
    return _decoder.decode(stored) if stored and stored not in ("{}", b"{}") else DEFAULTS
