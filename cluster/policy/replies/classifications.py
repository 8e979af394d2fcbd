"""SendGrid's classifications of bounces."""

from collections.abc import Mapping

from cluster.policy.replies.bounce_class import BounceClass

UNCLASSIFIED = "Unclassified"
CLASSES: Mapping[str, tuple[BounceClass, ...]] = {
    "Content": (
        BounceClass.SPAM,
        BounceClass.UNSAFE_CONTENT,
        BounceClass.BAD_CONTENT,
        BounceClass.MESSAGE_TOO_LARGE,
    ),
    "Frequency or Volume Too High": (
        BounceClass.RATE_LIMITED,
        BounceClass.GREYLISTED,
        BounceClass.TOO_MANY_RECIPIENTS,
    ),
    "Invalid Address": (BounceClass.BAD_MAILBOX, BounceClass.BAD_DOMAIN),
    "Mailbox Unavailable": (BounceClass.MAILBOX_FULL, BounceClass.MAILBOX_DISABLED),
    "Reputation": (
        BounceClass.BLOCKLISTED,
        BounceClass.POLICY,
        BounceClass.AUTHENTICATION,
        BounceClass.SOURCE_DNS,
        BounceClass.BAD_SENDER,
    ),
    "Technical Failure": (
        BounceClass.RELAYING_DENIED,
        BounceClass.CREDENTIALS,
        BounceClass.TLS_FAILURE,
        BounceClass.PROTOCOL_ERROR,
        BounceClass.UNSUPPORTED,
        BounceClass.ROUTING_LOOP,
        BounceClass.NO_ANSWER,
        BounceClass.CONNECTION_LOST,
        BounceClass.DNS_FAILURE,
        BounceClass.SYSTEM_FAILURE,
    ),
    UNCLASSIFIED: (BounceClass.EXPIRED, BounceClass.OTHER),
}
"""SendGrid's classifications, and the bounce classes of each."""
_OF_CLASS = {bounce_class.value: name for name, classes in CLASSES.items() for bounce_class in classes}


def classification_of(bounce_class: str) -> str:
    """The classification of a bounce class; of one that does not exist any more, or is not known, ``UNCLASSIFIED``."""
    return _OF_CLASS.get(bounce_class, UNCLASSIFIED)
