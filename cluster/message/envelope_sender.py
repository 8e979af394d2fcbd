"""The envelope senders of deliveries: each names its message, so that a delivery status notification can be matched to
it (variable envelope return path). Pure."""

import re

from cluster.ids import is_id

_SENDER = re.compile(r"b\+([0-9a-z]{26})@")


def envelope_sender(message_id: str, host: str) -> str:
    """The envelope sender at the host of the return path."""
    return f"b+{message_id.removeprefix('msg_').lower()}@{host}"


def message_of(sender: str) -> str:
    """The id of the message that an envelope sender names; "" for another address."""
    found = _SENDER.match(sender)
    message_id = f"msg_{found[1].upper()}" if found else ""
    return message_id if is_id("msg_", message_id) else ""
