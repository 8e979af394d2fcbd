"""The rules for ``headers``. They use the code that composes the fields (cluster/message/custom_fields.py), so that
both agree. Pure.
"""

from collections.abc import Mapping

from api.http.refusals import Fault
from api.send.notes import Notes
from cluster.message.addresses import is_address
from cluster.message.custom_fields import FieldKind, check, is_plain, sender_of
from cluster.message.header_fields import NotComposable


def check_headers(
    headers: Mapping[str, str], where: str, faults: list[Fault], notes: Notes, *, messages: int = 1
) -> None:
    """``messages`` is how many messages have these fields."""
    if len(headers) > 1 and len({name.lower() for name in headers}) < len(headers):
        _note_repeated(headers, where, notes)
    for name, value in headers.items():
        if not is_plain(name, value):
            _check_header(name, value, f"{where}.{name[:100]}", faults, notes, messages)


def _check_header(name: str, value: str, where: str, faults: list[Fault], notes: Notes, messages: int) -> None:
    try:
        kind = check(name, value)
        sender = sender_of(value) if kind is FieldKind.SENDER else None
    except NotComposable as fault:
        faults.append(Fault(fault.reason[0].upper() + fault.reason[1:], where))
        return
    if kind is FieldKind.IGNORED:
        notes.ignore(where)
    elif sender is not None:
        notes.senders.append((sender, where))
        if not is_address(sender):
            faults.append(Fault("This is not a valid email address", where))
    elif kind is FieldKind.MESSAGE_ID and messages > 1:
        faults.append(Fault("A Message-ID names one message: give it in the personalization", where))


def _note_repeated(headers: Mapping[str, str], where: str, notes: Notes) -> None:
    """When names of fields differ only in case, the last field is sent (RFC 5322 §1.2.2: names ignore case)."""
    last = {name.lower(): name for name in headers}
    for name in headers:
        if last[name.lower()] != name:
            notes.ignore(f"{where}.{name[:100]}")
