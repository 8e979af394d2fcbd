"""The lists, in the order in which they are named as the reason, and what passes them. Pure."""

from enum import IntFlag, StrEnum


class SuppressionList(StrEnum):
    """A list, named as the journal's type ``suppression_list`` and, but for groups, as in ``/v3/suppression/…``."""

    UNSUBSCRIBES = "unsubscribes"
    """Unsubscribed from all mail of the tenant."""
    GROUP = "group"
    """Unsubscribed from mail of one group."""
    BOUNCES = "bounces"
    """The mailbox refused mail for good."""
    INVALID_EMAILS = "invalid_emails"
    """The address is malformed, or its domain does not exist or takes no mail."""
    SPAM_REPORTS = "spam_reports"
    """The recipient reported a message as spam."""
    BLOCKS = "blocks"
    """A host refused mail for its content or sender. The list is for reading: it suppresses nothing."""


class Bypass(IntFlag):
    """The lists that a message passes (``mail_settings.bypass_*``), as ``deliveries.bypass`` stores them."""

    ALL = 1
    """``bypass_list_management``"""
    SPAM_REPORTS = 2
    """``bypass_spam_management``"""
    BOUNCES = 4
    """``bypass_bounce_management``"""
    UNSUBSCRIBES = 8
    """``bypass_unsubscribe_management``: the global list; groups hold."""


ALL_SUPPRESSED = "All recipients suppressed"
"""The error of a message none of whose recipients may get it."""
SUPPRESSED = "Suppressed: "
"""What the error of one suppressed recipient of several begins with; the name of the list follows."""
