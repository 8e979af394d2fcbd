"""The rules for ``headers``: asked of what composing writes (cluster/custom_fields.py), so that the two agree. Pure."""

import re
from collections.abc import Mapping

from api.addresses import is_address
from api.notes import Notes
from api.refusals import Fault
from cluster.custom_fields import KINDS, Kind, check, sender_of
from cluster.header_fields import NotComposable
from cluster.transfer_encoding import LINE

_LOOKED_AT = frozenset(
    name for name, kind in KINDS.items() if kind in (Kind.OURS, Kind.IGNORED, Kind.SENDER, Kind.MESSAGE_ID)
)
"""Names of fields of which more is asked than that they are short and ASCII."""
_match_name = re.compile(r"[!-9;-~]+").fullmatch


def check_headers(
    headers: Mapping[str, str], where: str, faults: list[Fault], notes: Notes, *, messages: int = 1
) -> None:
    """``messages``: how many have these fields."""
    if len(headers) > 1 and len({name.lower() for name in headers}) < len(headers):
        _note_repeated(headers, where, notes)
    for name, value in headers.items():
        lower = name.lower()
        if (
            lower not in _LOOKED_AT
            and len(name) + len(value) < LINE
            and value.isascii()
            and value.isprintable()
            and not lower.startswith("resent-")
            and _match_name(name)
        ):
            continue  # nearly all are so
        _check_header(name, value, f"{where}.{name[:100]}", faults, notes, messages)


def _check_header(name: str, value: str, where: str, faults: list[Fault], notes: Notes, messages: int) -> None:
    try:
        kind = check(name, value)
        sender = sender_of(value) if kind is Kind.SENDER else None
    except NotComposable as fault:
        faults.append(Fault(fault.reason[0].upper() + fault.reason[1:], where))
        return
    if kind is Kind.IGNORED:
        notes.ignore(where)
    elif sender is not None:
        notes.senders.append(sender)
        if not is_address(sender):
            faults.append(Fault("This is not a valid email address", where))
    elif kind is Kind.MESSAGE_ID and messages > 1:
        faults.append(Fault("A Message-ID names one message: give it in the personalization", where))


def _note_repeated(headers: Mapping[str, str], where: str, notes: Notes) -> None:
    """Of fields whose names differ in case alone, the last is sent (RFC 5322 §1.2.2: they are one name)."""
    last = {name.lower(): name for name in headers}
    for name in headers:
        if last[name.lower()] != name:
            notes.ignore(f"{where}.{name[:100]}")
