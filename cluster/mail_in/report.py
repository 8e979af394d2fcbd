"""What a message to a bounce address turns out to be. Nothing in it is proved: its sender chooses every word."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """What a report is; of one about several recipients, what is worst for any of them."""

    FAILED = "failed"
    DELAYED = "delayed"
    """The host still tries."""
    DELIVERED = "delivered"
    RELAYED = "relayed"
    """Given to a host that sends no reports, or to the members of a list (RFC 3464 §2.3.3: relayed, expanded)."""
    COMPLAINT = "complaint"
    FEEDBACK = "feedback"
    """Feedback that is no complaint, such as "not-spam" (RFC 5965 §7.3, RFC 6430)."""
    AUTO_REPLY = "auto_reply"
    """An absence notice, a read receipt, or a request to confirm the sender."""
    NOT_UNDERSTOOD = "not_understood"
    UNSUBSCRIBE = "unsubscribe"
    """Any mail to an address that ``List-Unsubscribe`` names: no report, so reading never finds it."""


class Action(StrEnum):
    """RFC 3464 §2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


class RecipientReport(Struct, frozen=True, kw_only=True):
    """What became of one recipient."""

    action: Action
    final_recipient: str = ""
    """The address at the last host. After forwarding it is not one that we sent to. "" when the report names none: it
    is about the only recipient of its message."""
    original_recipient: str = ""
    """The address as we sent it, where the report has it (RFC 3464 §2.3.1)."""
    status: str = ""
    """RFC 3463, such as "5.1.1": of the reply, else of the report's own field. "" when there is none."""
    diagnostic: str = ""
    """The host's reply, such as "550 5.1.1 No such user", its lines separated by "\\n"; else a reason in words."""
    remote_mta: str = ""
    will_retry_until: datetime | None = None


class Returned(Struct, frozen=True, kw_only=True):
    """What may name our message, in the order of the report, without duplicates; each list has at most
    ``MOST_NAMES``."""

    senders: tuple[str, ...] = ()
    """Envelope senders of our form (cluster/message/return_address.py), not authenticated."""
    message_ids: tuple[str, ...] = ()
    """Ids of messages, "msg_…", from Message-ID fields."""
    recipients: tuple[str, ...] = ()
    """Original-Rcpt-To, X-HmXmrOriginalRecipient and the like."""
    feedback_ids: tuple[str, ...] = ()
    """Feedback-ID fields."""


class Report(Struct, frozen=True, kw_only=True):
    kind: Kind
    recipients: tuple[RecipientReport, ...] = ()
    """Of reports on delivery only."""
    feedback_type: str = ""
    """RFC 5965 §3.1, in lower case; "" when this is no feedback."""
    reporting_mta: str = ""
    """The host that reports, where a field names it."""
    source_ip: str = ""
    """Of feedback: the address that the message came from (RFC 5965 §3.2), as written."""
    returned_ids: Returned = Returned()
    reported_at: datetime | None = None
    """The report's Date."""
    why: tuple[str, ...] = ()
    """How this was decided, for an operator."""


MOST_NAMES = 8
MOST_RECIPIENTS = 100
"""RFC 5321 §4.5.3.1.8: no transaction needs to have more."""
LONGEST_DIAGNOSTIC = 2_000
"""Characters."""
