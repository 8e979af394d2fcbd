"""Checks the attachments of a send request and decodes them. Pure."""

import binascii
import re
from collections.abc import Iterator, Sequence

from api.http.refusals import Fault
from api.send.request import AttachmentPart
from cluster.message import mime_fields
from cluster.message.header_fields import NotComposable

MOST_ATTACHMENTS = 10
LONGEST_FILENAME = 255

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_SHOWN = 100
"""The beginning of a content, in characters, in which a data: URL is looked for."""


def check_attachments(attachments: Sequence[AttachmentPart], faults: list[Fault]) -> list[bytes]:
    """The bytes of the attachments, in order. Every fault of an attachment has the field ``attachments[N]``."""
    if len(attachments) > MOST_ATTACHMENTS:
        faults.append(Fault(f"At most {MOST_ATTACHMENTS} attachments, not {len(attachments)}", "attachments"))
        return []
    files = []
    seen: set[str] = set()
    for index, attachment in enumerate(attachments):
        where = f"attachments[{index}]"
        faults += [Fault(message, where) for message in _faults(attachment, seen)]
        if not attachment.content:
            faults.append(Fault("The content is required", where))
            continue
        try:
            files.append(binascii.a2b_base64(attachment.content, strict_mode=True))
        except ValueError as error:  # binascii.Error is one
            faults.append(Fault(_why_not_base64(attachment.content, str(error)), where))
    return files


def _why_not_base64(content: str, error: str) -> str:
    if content.startswith("data:") and "," in content[:_SHOWN]:
        return "The content is base64 alone: leave out what stands before the comma"
    if "\n" in content or "\r" in content:
        return "The content is base64 without line breaks"
    if "-" in content or "_" in content:
        return "The content is base64 with + and /, not the form for URLs with - and _"
    return f"The content is not base64: {error.lower()}"


def _faults(attachment: AttachmentPart, seen: set[str]) -> Iterator[str]:
    """``seen`` has the content ids of the attachments before it."""
    is_inline = attachment.disposition == "inline"
    if attachment.disposition not in (None, "inline", "attachment"):
        yield "The disposition is attachment or inline"
    if attachment.content_id:
        yield from _faults_of_content_id(attachment.content_id, seen)
    elif is_inline:
        yield "An inline attachment needs a content_id"
    if attachment.type:
        yield from _faults_of_type(attachment.type)
    name = attachment.filename
    if not name:
        if not is_inline:  # the name of an inline one is its content_id
            yield "The filename is required"
        return
    if len(name) > LONGEST_FILENAME:
        yield f"The filename has {len(name)} characters; at most {LONGEST_FILENAME}"
    if _CONTROLS.search(name):
        yield "The filename may not contain control characters"
    if not mime_fields.file_name(name):
        yield "The filename is only a path; the name of a file is required"


def _faults_of_content_id(content_id: str, seen: set[str]) -> Iterator[str]:
    if len(content_id) > mime_fields.LONGEST + len("<>"):
        yield f"The content_id has {len(content_id)} characters; at most {mime_fields.LONGEST}"
        return
    try:
        bare = mime_fields.content_id(content_id)
    except NotComposable as fault:
        yield fault.reason
        return
    if " " in bare:
        yield "The content_id may not contain spaces: a cid: URL cannot name it"
    if bare in seen:
        yield "Each content_id may be given once"
    seen.add(bare)


def _faults_of_type(type_: str) -> Iterator[str]:
    if len(type_) > mime_fields.LONGEST:
        yield f"The type has {len(type_)} characters; at most {mime_fields.LONGEST}"
        return
    try:
        mime_fields.media_type(type_)
    except NotComposable as fault:
        yield f"{fault.reason}, such as application/pdf"
