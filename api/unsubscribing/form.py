"""What a POST on an unsubscribe page asks for. Pure.

The page sends a form; a mail program sends ``List-Unsubscribe=One-Click`` (RFC 8058 §3.1), urlencoded or as
multipart/form-data.
"""

from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl

from msgspec import Struct

from cluster.journal.unsubscribing import Action

MOST_BYTES = 10_000
_MOST_FIELDS = 20


class Asked(Struct, frozen=True):
    """What is asked for. ``is_one_click``: by a mail program, so that no page is shown."""

    action: Action
    group_id: int | None = None
    is_one_click: bool = False


def asked_by(body: bytes, content_type: str, group_of_token: int | None) -> Asked | None:
    """What the form asks for; None for one that asks for nothing that there is. ``group_of_token``: the group that the
    message was sent to, which a one-click unsubscribe leaves."""
    fields = _fields(body, content_type)
    if fields.get("List-Unsubscribe", "").lower() == "one-click":
        action = Action.UNSUBSCRIBE_ALL if group_of_token is None else Action.UNSUBSCRIBE_GROUP
        return Asked(action, group_of_token, is_one_click=True)
    try:
        action = Action(fields.get("action", ""))
    except ValueError:
        return None
    if action in (Action.UNSUBSCRIBE_ALL, Action.RESUBSCRIBE_ALL):
        return Asked(action)
    number = fields.get("group_id", "")
    if not (number.isascii() and number.isdigit() and len(number) <= 9):
        return None
    return Asked(action, int(number))


def _fields(body: bytes, content_type: str) -> dict[str, str]:
    if content_type.lower().startswith("multipart/form-data"):
        head = b"Content-Type: " + content_type.encode("latin-1", "replace").replace(b"\r", b"").replace(b"\n", b"")
        message = BytesParser(policy=HTTP).parsebytes(head + b"\r\n\r\n" + body)
        if not message.is_multipart():
            return {}
        found = {}
        for part in message.iter_parts():
            name = part.get_param("name", header="content-disposition")
            if isinstance(name, str):
                content = part.get_payload(decode=True)
                found[name] = content.decode("utf-8", "replace").strip() if isinstance(content, bytes) else ""
        return found
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=_MOST_FIELDS))
    except ValueError:
        return {}
