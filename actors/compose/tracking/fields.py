"""Header fields: one-click unsubscription (RFC 2369 §3.2, RFC 8058) of tracked mail, and Feedback-ID of all mail.

The sender's own fields of these names take precedence. A field that unsubscribes names one recipient, so it belongs to
a copy.
"""

import re
from functools import lru_cache

from actors.compose.tracking.recipient import TokensOfRecipients
from actors.compose.tracking.tags import own_preferences
from actors.compose.transform import Addressee
from cluster.tracking.choices import Tracking
from cluster.tracking.tokens import unsubscribe_suffix

ONE_CLICK = (b"List-Unsubscribe-Post", b"List-Unsubscribe=One-Click")
_OTHERS = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)
_LONGEST = 64
"""Characters of a part of Feedback-ID."""

Fields = tuple[tuple[bytes, bytes], ...]


class UnsubscribeFields:
    """List-Unsubscribe and List-Unsubscribe-Post for the copies of one request."""

    def __init__(self, tracking: Tracking, tokens: TokensOfRecipients) -> None:
        self._tokens = tokens
        self._number = tokens.share(unsubscribe_suffix(own_preferences(tracking)))
        self._beginning = f"<{tracking.base_url}/t/u/"

    def of(self, addressee: Addressee) -> Fields:
        """The fields of a recipient's copy."""
        # A URL has one line, though it may exceed 78 characters: some readers do not unfold it.
        urls = f"{self._beginning}{self._tokens.shared(addressee)[self._number]}>"
        if addressee.mail_host:
            # Behind the https URL, since readers take the first that they can use (RFC 2369 §2). Some mail programs
            # send no mail without a subject.
            urls += f",\r\n <mailto:{self._tokens.mailbox(addressee)}?subject=unsubscribe>"
        return ((b"List-Unsubscribe", urls.encode()), ONE_CLICK)


@lru_cache(maxsize=4096)
def feedback_id(campaign: str, tenant_id: str, domain: str) -> bytes:
    """The value of Feedback-ID, by which Gmail counts complaints: the batch or category, the tenant, the sender domain.
    Colons separate them, so other characters than those of names become ``_``."""
    return ":".join([_OTHERS.sub("_", part)[:_LONGEST] for part in (campaign or "none", tenant_id, domain)]).encode()
