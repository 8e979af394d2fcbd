"""Finds what names our message in a report: in its fields, and in the message or header that it returns."""

import re
from collections.abc import Iterable, Mapping

from cluster.ids import is_id
from cluster.mail_in.addresses import bare
from cluster.mail_in.parts import Part
from cluster.mail_in.report import MOST_NAMES, Returned

_SENDER = re.compile(r"(?<![\w.+-])b\+[0-9a-z]{26,64}@[a-z0-9.-]{1,253}[a-z0-9]", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"(?<![0-9A-Za-z])msg_[0-9A-Z]{26}(?=@)", re.IGNORECASE)
_RECIPIENT_FIELDS = (
    "original-rcpt-to",
    "x-hmxmroriginalrecipient",
    "x-original-to",
    "x-rcpt-to",
    "delivered-to",
)


def returned_ids(whole: Part, fields: Mapping[str, str]) -> Returned:
    """``fields``: those of a feedback report; empty for others."""
    texts = [*fields.values(), *_texts(whole)]
    headers = [part.header for part in whole.walk()][1:]
    recipients = [fields[name] for name in _RECIPIENT_FIELDS if name in fields]
    recipients += [str(value) for header in headers for name in _RECIPIENT_FIELDS for value in header.get_all(name, [])]
    feedback_ids = [fields["feedback-id"]] if "feedback-id" in fields else []
    feedback_ids += [str(value) for header in headers for value in header.get_all("feedback-id", [])]
    return Returned(
        senders=_first(found.lower() for text in texts for found in _SENDER.findall(text)),
        message_ids=_first(
            found for text in texts for name in _MESSAGE_ID.findall(text) if is_id("msg_", found := _id_of(name))
        ),
        recipients=_first(bare(value) for value in recipients),
        feedback_ids=_first(" ".join(value.split())[:200] for value in feedback_ids),
    )


def _texts(whole: Part) -> Iterable[str]:
    """The headers and the decoded bodies, each once. Of the outer header only the fields that name another message: its
    addressee is our own address in every case."""
    for part in whole.walk():
        if part is not whole:
            yield "\n".join(f"{name}: {value}" for name, value in part.header.items())
        if not part.children:
            yield part.text
    yield "\n".join(whole.fields("in-reply-to") + whole.fields("references"))


def _first(values: Iterable[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for value in values:
        if value:
            found.setdefault(value)
        if len(found) == MOST_NAMES:
            break
    return tuple(found)


def _id_of(name: str) -> str:
    return f"msg_{name[4:].upper()}"
