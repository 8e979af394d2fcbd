"""A tenant's defaults under a request's own settings. Pure.

A request's fields win one by one. Defaults that nothing is done by yet are named among what the request ignores.
"""

from api.send.notes import Notes
from api.send.request import (
    ClickTracking,
    FooterSetting,
    MailSend,
    MailSettings,
    OpenTracking,
    TrackingSettings,
)
from cluster.tenancy.settings import DefaultFooter, TenantSettings

_NO_TRACKING = TrackingSettings()


def apply_defaults(mail: MailSend, settings: TenantSettings, notes: Notes) -> None:
    """Give a request the footer that its tenant's mail has and the tracking that it has not, and name the tracking that
    it would have."""
    own = mail.mail_settings.footer if mail.mail_settings else None
    if (footer := _footer(own, settings.footer)) is not None:
        mail.mail_settings = mail.mail_settings or MailSettings()
        mail.mail_settings.footer = footer
    if not (settings.open.enabled and settings.click.enabled):
        mail.tracking_settings = mail.tracking_settings or TrackingSettings()
        _switch_off(mail.tracking_settings, settings)
    _name_tracking(mail.tracking_settings or _NO_TRACKING, settings, notes)


def _footer(own: FooterSetting | None, default: DefaultFooter) -> FooterSetting | None:
    """The footer of a request's messages; None when they have none."""
    if own is None:
        own = FooterSetting()
    if not (default.enabled if own.enable is None else own.enable):
        return None
    return FooterSetting(
        enable=True,
        text=default.plain_content if own.text is None else own.text,
        html=default.html_content if own.html is None else own.html,
    )


def _switch_off(own: TrackingSettings, settings: TenantSettings) -> None:
    """Write down what the tenant has switched off, unless the request says otherwise."""
    if not settings.open.enabled:
        own.open_tracking = own.open_tracking or OpenTracking()
        if own.open_tracking.enable is None:
            own.open_tracking.enable = False
    if not settings.click.enabled:
        own.click_tracking = own.click_tracking or ClickTracking()
        if own.click_tracking.enable is None:
            own.click_tracking.enable = False


def _name_tracking(own: TrackingSettings, settings: TenantSettings, notes: Notes) -> None:
    """Click and open tracking are on by default and nothing is done by them: that is not named."""
    click, subscription, analytics = own.click_tracking, own.subscription_tracking, own.ganalytics
    in_text = settings.click.enabled and settings.click.enable_text
    if in_text and (click is None or (click.enable is not False and click.enable_text is not False)):
        notes.ignore("tracking_settings.click_tracking.enable_text")
    if settings.subscription.enabled and (subscription is None or subscription.enable is not False):
        notes.ignore("tracking_settings.subscription_tracking")
    if settings.google_analytics.enabled and (analytics is None or analytics.enable is not False):
        notes.ignore("tracking_settings.ganalytics")
