"""Checks that the header of a submitted message can be filled for each entry of ``to`` in X-SMTPAPI, with the code that
composes it: a value may make no address, or too long a field. Pure."""

from api.http.refusals import Fault
from api.send.drafts import Draft
from cluster.message.header_fields import NotComposable
from cluster.message.submitted.filling import FilledHeader
from cluster.message.submitted.header import MOST_OCTETS, header_at, without_fields
from cluster.message.substitution import LONGEST_SUBSTITUTIONS, LOOP_S, effort_s

MOST_FILLED = 20_000
"""The most fields that are filled to check one message. They take some tenths of a second."""

MANY = 20
"""Messages from which on the check may take longer than the event loop has."""


def is_filled(draft: Draft) -> bool:
    """Whether any message of the draft has values to fill in."""
    return any(one.substitutions for one in draft.mail.personalizations or ())


def takes_long(draft: Draft) -> bool:
    """Whether the check of this message would hold up the event loop. All its messages have the same keys."""
    messages = draft.mail.personalizations or []
    keys = (messages[0].substitutions if messages else None) or {}
    return len(messages) > MANY or effort_s(keys, min(len(draft.original), MOST_OCTETS)) > LOOP_S


def fill_faults(draft: Draft, most_octets: int) -> list[Fault]:
    """The faults of values that break the header. ``most_octets``: of a field's filled text. The length of the subject
    is checked as for other requests."""
    header = header_at(draft.original)
    data = without_fields(draft.original[: header.body], (b"subject",), header)
    fields = FilledHeader(data, header_at(data), most_octets, readdressed=draft.readdressed)
    faults: list[Fault] = []
    filled = 0
    for index, one in enumerate(draft.mail.personalizations or ()):
        if not one.substitutions or sum([len(key) for key in one.substitutions]) > LONGEST_SUBSTITUTIONS:
            continue  # so long ones are refused by the check of other requests
        where = f"personalizations[{index}].substitutions"
        filled += fields.count(one.substitutions)
        if filled > MOST_FILLED:
            return [*faults, Fault("Their keys are in too many fields of the header", where)]
        try:
            fields.substituted(one.substitutions)
        except NotComposable as fault:
            faults.append(Fault(f"They break the header: {fault.reason}", where))
    return faults
