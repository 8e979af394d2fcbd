"""A tenant's default footer under a request's own. Its tracking: tracking.py. Pure."""

from api.send.request import FooterSetting, MailSend, MailSettings
from cluster.tenancy.settings import DefaultFooter, TenantSettings


def apply_defaults(mail: MailSend, settings: TenantSettings) -> None:
    """Give a request the footer that its tenant's mail has."""
    own = mail.mail_settings.footer if mail.mail_settings else None
    if (footer := _footer(own, settings.footer)) is not None:
        mail.mail_settings = mail.mail_settings or MailSettings()
        mail.mail_settings.footer = footer


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
