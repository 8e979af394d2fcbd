"""What a request says to its template, and the subjects that its messages get from it. Pure.

A dynamic template takes ``dynamic_template_data``, a legacy one ``substitutions``. A subject that the template has wins
over the request's. The subjects are made at acceptance, so that lists and searches know them; the texts are rendered
when a message is composed.
"""

from collections.abc import Sequence

from api.http.refusals import Fault
from api.send.notes import Notes
from api.send.request import MailSend, Personalization
from api.send.sizes import too_large
from api.send.texts import check_json
from cluster.journal.templates import ActiveTemplate
from cluster.message.header_fields import one_line
from cluster.message.substitution import substitute
from cluster.message.transfer_encoding import octets

MOST_DATA = 1024 * 1024
"""Bytes of JSON of one personalization's template data."""
MOST_DATA_IN_ALL = 20 * 1024 * 1024


def is_dynamic(template: ActiveTemplate | None) -> bool:
    """Whether a request takes ``dynamic_template_data``."""
    return template is not None and template.generation == "dynamic"


def has_subject(template: ActiveTemplate | None) -> bool:
    """Whether a request's messages have the subject of its template."""
    return template is not None and bool(template.subject.strip())


def check_template(
    mail: MailSend, template: ActiveTemplate, most_subject: int, faults: list[Fault], notes: Notes
) -> list[str] | None:
    """Add the faults of what a request says to its template. Returns the subject of each message in order; None when
    the template has none. ``most_subject`` is in octets."""
    own = mail.personalizations or []
    if is_dynamic(template):
        _check_data(own, faults)
    if not has_subject(template):
        return None
    if mail.subject:
        notes.ignore("subject")
    subjects = [_subject(template, one) for one in own]
    for index, (one, subject) in enumerate(zip(own, subjects, strict=True)):
        where = f"personalizations[{index}]"
        if one.subject:
            notes.ignore(f"{where}.subject")
        if 4 * len(subject) > most_subject and (size := octets(subject.strip(" \t"))) > most_subject:
            field = f"{where}.substitutions" if one.substitutions else "template_id"
            faults.append(too_large("The subject", size, most_subject, field))
    return subjects


def _check_data(own: Sequence[Personalization], faults: list[Fault]) -> None:
    in_all = 0
    for index, one in enumerate(own):
        if one.substitutions:
            where = f"personalizations[{index}].substitutions"
            faults.append(Fault("A dynamic template takes dynamic_template_data instead of substitutions", where))
        if one.dynamic_template_data:
            where = f"personalizations[{index}].dynamic_template_data"
            in_all += check_json(one.dynamic_template_data, where, faults, longest=MOST_DATA)
    if in_all > MOST_DATA_IN_ALL:
        message = f"The template data of all personalizations together is at most {MOST_DATA_IN_ALL} bytes of JSON"
        faults.append(Fault(message, "personalizations"))


def _subject(template: ActiveTemplate, one: Personalization) -> str:
    return one_line(substitute(template.subject, one.substitutions or {}))
