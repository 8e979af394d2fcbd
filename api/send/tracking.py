"""How a request's messages are tracked: its own settings over those of its tenant, field by field. Pure."""

from functools import lru_cache

from api.send.request import (
    ClickTracking,
    GoogleAnalytics,
    MailSend,
    OpenTracking,
    SubscriptionTracking,
    TrackingSettings,
)
from cluster.tenancy import settings as defaults
from cluster.tenancy.tenant import Tenant
from cluster.tracking.choices import Analytics, Tracking, UnsubscribeText

_NO_SETTINGS = TrackingSettings()
_USUAL_CLICK, _USUAL_OPEN = ClickTracking(), OpenTracking()
_USUAL_SUBSCRIPTION, _USUAL_ANALYTICS = SubscriptionTracking(), GoogleAnalytics()


def tracking_of(mail: MailSend, tenant: Tenant, base_url: str) -> Tracking | None:
    """What acts on the request's messages; None when nothing does. ``base_url``: what the tenant's public URLs begin
    with."""
    if mail.tracking_settings is None and mail.asm is None and tenant.settings is defaults.DEFAULTS:
        return _usual(tenant.number, base_url)
    own, usual = mail.tracking_settings or _NO_SETTINGS, tenant.settings
    click, opens = own.click_tracking or _USUAL_CLICK, own.open_tracking or _USUAL_OPEN
    clicks = _either(click.enable, usual.click.enabled)
    found = Tracking(
        base_url=base_url,
        tenant_number=tenant.number,
        opens=_either(opens.enable, usual.open.enabled),
        open_tag=opens.substitution_tag or "",
        clicks=clicks,
        text_clicks=clicks and _either(click.enable_text, usual.click.enable_text),
        analytics=_analytics(own.ganalytics or _USUAL_ANALYTICS, usual.google_analytics),
        subscription=_subscription(own.subscription_tracking or _USUAL_SUBSCRIPTION, usual.subscription),
        group_id=mail.asm.group_id if mail.asm is not None else None,
        shown_groups=tuple(mail.asm.groups_to_display or ()) if mail.asm is not None else (),
    )
    return found if found.opens or clicks or found.analytics or found.has_unsubscribe else None


@lru_cache(maxsize=1024)
def _usual(tenant_number: int, base_url: str) -> Tracking:
    """Of a request and a tenant without settings, as most are."""
    return Tracking(base_url=base_url, tenant_number=tenant_number, opens=True, clicks=True)


def _analytics(own: GoogleAnalytics, usual: defaults.GoogleAnalytics) -> Analytics | None:
    if not _either(own.enable, usual.enabled):
        return None
    given = {name: getattr(own, name) for name in Analytics.__struct_fields__}
    return Analytics(**{name: getattr(usual, name) if value is None else value for name, value in given.items()})


def _subscription(own: SubscriptionTracking, usual: defaults.SubscriptionTracking) -> UnsubscribeText | None:
    if not _either(own.enable, usual.enabled):
        return None
    return UnsubscribeText(
        text=own.text or usual.plain_content,
        html=own.html or usual.html_content,
        tag=own.substitution_tag or usual.replace,
    )


def _either(own: bool | None, usual: bool) -> bool:
    return usual if own is None else own
