"""The scopes that exist, in one table. Pure.

A key or a token may hold others from another version; they open nothing and are not shown.
"""

from collections.abc import Collection, Mapping

SCOPES: Mapping[str, str] = {
    "mail.send": "send and retry mail, read messages",
    "mail.schedule": "`send_at`, batches, scheduled sends",
    "mail.cancel": "cancel and give up mail, read messages",
    "messages.read": "read messages with their bodies",
    "templates.read": "read templates",
    "templates.write": "make and change templates",
    "templates.delete": "delete templates",
    "suppressions.read": "read suppression lists and unsubscribe groups",
    "suppressions.write": "change them",
    "stats.read": "read statistics, and messages without bodies",
    "stats.export": "statistics as CSV, and the tenant's rows by SQL",
    "webhooks.read": "read webhooks and events",
    "webhooks.write": "make and change webhooks",
    "domains.read": "read sender domains and branded links",
    "domains.write": "make and change them",
    "images.read": "read images",
    "images.write": "upload, change and delete images",
    "admin.api_keys": "make, change and revoke keys",
    "admin.users": "manage users",
    "admin.settings": "change settings and limits, erase recipients",
    "emails:send": "send through `/api/v1/emails`",
    "emails:read": "read through `/api/v1/emails`",
}
"""Each scope, with what it opens."""

KEY_ADMIN = "admin.api_keys"


def existing(scopes: Collection[str]) -> list[str]:
    """Those of ``scopes`` that exist, sorted."""
    return sorted(SCOPES.keys() & scopes)
