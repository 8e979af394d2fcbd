"""The bodies and views of SendGrid's settings of webhooks."""

import msgspec
from msgspec import UNSET, Struct, UnsetType

from api.http.body import TypedBody

SWITCHES = {
    "processed": ("processed",),
    "deferred": ("deferred",),
    "delivered": ("delivered",),
    "bounce": ("bounce", "blocked"),
    "dropped": ("dropped",),
    "open": ("open",),
    "click": ("click",),
    "spam_report": ("spam_report",),
    "unsubscribe": ("unsubscribe",),
    "group_unsubscribe": ("group_unsubscribe",),
    "group_resubscribe": ("group_resubscribe",),
}
"""The events that each switch stands for."""


class SettingsFields(Struct, frozen=True, omit_defaults=True):
    """The settings of an endpoint. What a PATCH leaves out stays as it is."""

    enabled: bool | UnsetType = UNSET
    url: str | UnsetType = UNSET
    processed: bool | UnsetType = UNSET
    deferred: bool | UnsetType = UNSET
    delivered: bool | UnsetType = UNSET
    bounce: bool | UnsetType = UNSET
    dropped: bool | UnsetType = UNSET
    open: bool | UnsetType = UNSET
    click: bool | UnsetType = UNSET
    spam_report: bool | UnsetType = UNSET
    unsubscribe: bool | UnsetType = UNSET
    group_unsubscribe: bool | UnsetType = UNSET
    group_resubscribe: bool | UnsetType = UNSET
    friendly_name: str | UnsetType | None = UNSET
    oauth_client_id: str | UnsetType | None = UNSET
    oauth_client_secret: str | UnsetType | None = UNSET
    oauth_token_url: str | UnsetType | None = UNSET


class SettingsBody(TypedBody[SettingsFields]):
    decoder = msgspec.json.Decoder(SettingsFields)


class SignatureSwitch(Struct, frozen=True):
    """Whether posts are signed."""

    enabled: bool


class SignatureBody(TypedBody[SignatureSwitch]):
    decoder = msgspec.json.Decoder(SignatureSwitch)


class TestFields(Struct, frozen=True, omit_defaults=True):
    """Where an example is posted to; with the signature of ``id``, if it is given."""

    url: str | UnsetType = UNSET
    id: str | UnsetType | None = UNSET
    oauth_client_id: str | UnsetType | None = UNSET
    oauth_client_secret: str | UnsetType | None = UNSET
    oauth_token_url: str | UnsetType | None = UNSET


class TestBody(TypedBody[TestFields]):
    decoder = msgspec.json.Decoder(TestFields)


class SettingsView(Struct, frozen=True, kw_only=True):
    """The settings of an endpoint. Times are ISO-8601, UTC."""

    id: str
    enabled: bool
    url: str
    account_status_change: bool = False
    """There are no such events."""
    processed: bool
    deferred: bool
    delivered: bool
    bounce: bool
    dropped: bool
    open: bool
    click: bool
    spam_report: bool
    unsubscribe: bool
    group_unsubscribe: bool
    group_resubscribe: bool
    friendly_name: str
    oauth_client_id: str | None
    oauth_token_url: str | None
    public_key: str
    """Empty where posts are not signed."""
    created_date: str
    updated_date: str


class AllSettings(Struct, frozen=True):
    """The endpoints of a tenant, oldest first."""

    max_allowed: int
    webhooks: list[SettingsView]


class PublicKey(Struct, frozen=True):
    """The key that verifies an endpoint's posts; empty where they are not signed."""

    id: str
    public_key: str


NO_SETTINGS = SettingsView(
    id="",
    enabled=False,
    url="",
    friendly_name="",
    oauth_client_id=None,
    oauth_token_url=None,
    public_key="",
    created_date="",
    updated_date="",
    **dict.fromkeys(SWITCHES, False),
)
"""What clients see that know one endpoint only, where there is none."""
