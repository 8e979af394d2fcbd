"""What a request says to its template, and the subjects that its messages get from it. Pure.

A dynamic template takes ``dynamic_template_data``, a legacy one ``substitutions``. A subject that the template has wins
over the request's. The subjects are made at acceptance, so that lists and searches know them; the texts are rendered
when a message is composed.
"""

from collections.abc import Sequence
from functools import lru_cache

from api.http.free_json import check_json
from api.http.refusals import Fault
from api.send.notes import Notes
from api.send.request import MailSend, Personalization
from api.send.sizes import too_large
from cluster.journal.templates import ActiveTemplate
from cluster.message.header_fields import one_line
from cluster.message.substitution import substitute
from cluster.message.transfer_encoding import octets
from cluster.templates.handlebars.bounds import Budget
from cluster.templates.handlebars.errors import TooMuch
from cluster.templates.handlebars.text import compile_text, literal_text

MOST_DATA = 1024 * 1024
"""Bytes of JSON of one personalization's template data."""
MOST_DATA_IN_ALL = 20 * 1024 * 1024
SUBJECT_STEPS = 1000
SUBJECT_CHARACTERS = 16 * 1024
SUBJECTS_STEPS = 20_000
"""Within these, for a message and for all of a request, subjects are rendered at acceptance: some 20 ms at most. A list
shows the template's own text for a subject that takes more."""
_QUICK_TAGS = 10
"""Subjects with at most so many tags are compiled in some milliseconds."""

_compiled = lru_cache(maxsize=256)(compile_text)


def compile_subject(template: ActiveTemplate) -> None:
    """Compile the subject of a dynamic template. It is kept, so that what follows is fast. Raises TemplateError."""
    if is_dynamic(template):
        _compiled(template.subject, is_html=False)


def takes_long(template: ActiveTemplate) -> bool:
    """Whether an event loop should not compile the template's subject."""
    return is_dynamic(template) and template.subject.count("{{") > _QUICK_TAGS


def is_dynamic(template: ActiveTemplate | None) -> bool:
    """Whether a request takes ``dynamic_template_data``."""
    return template is not None and template.generation == "dynamic"


def has_subject(template: ActiveTemplate | None) -> bool:
    """Whether a request's messages have the subject of its template."""
    if template is None:
        return False
    subject = _compiled(template.subject, is_html=False) if is_dynamic(template) else literal_text(template.subject)
    return not subject.is_blank


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
    subjects = _rendered(template, own, faults) if is_dynamic(template) else _substituted(template, own)
    for index, (one, subject) in enumerate(zip(own, subjects, strict=True)):
        where = f"personalizations[{index}]"
        if one.subject:
            notes.ignore(f"{where}.subject")
        if 4 * len(subject) > most_subject and (size := octets(subject.strip(" \t"))) > most_subject:
            faults.append(too_large("The subject", size, most_subject, where + _values(one)))
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


def _rendered(template: ActiveTemplate, own: Sequence[Personalization], faults: list[Fault]) -> list[str]:
    text = _compiled(template.subject, is_html=False)
    if not text.holes:
        return [one_line(text.literals[0])] * len(own)
    subjects, left = [], SUBJECTS_STEPS
    for index, one in enumerate(own):
        most = min(left, SUBJECT_STEPS)
        budget = Budget(most, SUBJECT_CHARACTERS)
        try:
            subject = text.whole(one.dynamic_template_data or {}, budget)
        except TooMuch:
            subject = template.subject
            if budget.output < 0:
                message = f"The subject would have more than {SUBJECT_CHARACTERS} characters"
                faults.append(Fault(message, f"personalizations[{index}]{_values(one)}"))
        left -= most - max(budget.steps, 0)
        subjects.append(one_line(subject))
    return subjects


def _substituted(template: ActiveTemplate, own: Sequence[Personalization]) -> list[str]:
    return [one_line(substitute(template.subject, one.substitutions or {})) for one in own]


def _values(one: Personalization) -> str:
    """The end of the path of what a message puts into its texts."""
    if one.substitutions:
        return ".substitutions"
    return ".dynamic_template_data" if one.dynamic_template_data else ""
