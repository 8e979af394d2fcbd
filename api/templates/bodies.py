"""The bodies of requests for templates and versions, and their rules. Pure."""

from typing import Any, cast

import msgspec
from msgspec import Struct, structs

from api.http import help_texts
from api.http.body import TypedBody
from api.http.free_json import check_json
from api.http.refusals import Fault
from api.http.texts import check_text
from cluster.journal.templates import GENERATIONS, VersionFields
from cluster.templates.texts import Generation, TemplateTexts

LONGEST_NAME = 255
LONGEST_SUBJECT = 1000
LONGEST_PREHEADER = 500
LONGEST_CONTENT = 1024 * 1024
"""Bytes of ``html_content``, of ``plain_content`` and of ``test_data``."""
EDITORS = ("code", "design")
_DATA = msgspec.json.Decoder(dict[str, Any])
_LINE_ENDS = frozenset("\r\n")


class NewTemplate(Struct, frozen=True, kw_only=True):
    """A template to make."""

    name: str | None = None
    generation: str | None = None
    """"dynamic" (the default), or "legacy" for texts with substitutions."""


class TemplateChange(Struct, frozen=True):
    """What changes of a template."""

    name: str | None = None


class Copy(Struct, frozen=True):
    """A copy to make."""

    name: str | None = None
    """By default the name of the original, with "(copy)"."""


class VersionBody(Struct, frozen=True, kw_only=True):
    """A version of a template, or what changes of one: what is absent stays as it is."""

    name: str | None = None
    subject: str | None = None
    preheader: str | None = None
    """What mail clients show beside the subject; it is hidden in the html."""
    html_content: str | None = None
    plain_content: str | None = None
    generate_plain_content: bool | None = None
    """Whether the plain text is made from the html, now and at each change. By default it is, unless there is a
    ``plain_content``."""
    editor: str | None = None
    """"code" or "design": what the version is edited with. It changes nothing here."""
    test_data: str | None = None
    """A JSON object as a text: the data of previews."""
    active: int | None = None
    """1 for the version that mail uses, 0 for one that it does not. By default the first version is active."""


class NewTemplateBody(TypedBody[NewTemplate]):
    decoder = msgspec.json.Decoder(NewTemplate)


class TemplateChangeBody(TypedBody[TemplateChange]):
    decoder = msgspec.json.Decoder(TemplateChange)


class CopyBody(TypedBody[Copy]):
    decoder = msgspec.json.Decoder(Copy)


class VersionDto(TypedBody[VersionBody]):
    decoder = msgspec.json.Decoder(VersionBody)


def new_fields(generation: Generation) -> VersionFields:
    """What a new version has where its request says nothing."""
    texts = TemplateTexts(generation=generation)
    return VersionFields(name="", editor="code", generate_plain_content=True, test_data="", texts=texts)


def check_name(name: str | None, faults: list[Fault]) -> str:
    if name is None or not name.strip():
        faults.append(Fault("The name is required", "name"))
    elif not name.isprintable():
        faults.append(Fault("A name may not contain control characters", "name"))
    elif len(name) > LONGEST_NAME:
        faults.append(Fault(f"At most {LONGEST_NAME} characters", "name"))
    return name or ""


def check_generation(text: str | None, faults: list[Fault]) -> Generation:
    if text is not None and text not in GENERATIONS:
        faults.append(Fault(f"The generation must be {' or '.join(GENERATIONS)}", "generation"))
    return cast(Generation, text or "dynamic")


def copy_name(wanted: Copy, original: str, faults: list[Fault]) -> str:
    if wanted.name is not None:
        return check_name(wanted.name, faults)
    ending = " (copy)"
    return original[: LONGEST_NAME - len(ending)] + ending


def changed(fields: VersionFields, wanted: VersionBody, faults: list[Fault]) -> VersionFields:
    """The fields with what a request wants. The plain text is empty where it is to be made from the html."""
    if wanted.active not in (None, 0, 1):
        faults.append(Fault("It is 0 or 1", "active"))
    editor = fields.editor if wanted.editor is None else wanted.editor
    if editor not in EDITORS:
        faults.append(Fault(f"The editor must be {' or '.join(EDITORS)}", "editor"))
    generates = wanted.generate_plain_content
    if generates is None:
        generates = fields.generate_plain_content if wanted.plain_content is None else not wanted.plain_content
    return VersionFields(
        name=check_name(fields.name if wanted.name is None else wanted.name, faults),
        editor=editor,
        generate_plain_content=generates,
        test_data=fields.test_data if wanted.test_data is None else _test_data(wanted.test_data, faults),
        texts=_texts(fields.texts, wanted, generates, faults),
    )


def _texts(texts: TemplateTexts, wanted: VersionBody, generates: bool, faults: list[Fault]) -> TemplateTexts:
    given = {
        "subject": wanted.subject,
        "preheader": wanted.preheader,
        "html": wanted.html_content,
        "plain": "" if generates else wanted.plain_content,
    }
    texts = structs.replace(texts, **{name: text for name, text in given.items() if text is not None})
    check_text(texts.subject, "subject", faults, longest=LONGEST_SUBJECT)
    if not _LINE_ENDS.isdisjoint(texts.subject):
        faults.append(Fault("A subject may not contain CR or LF", "subject"))
    check_text(texts.preheader, "preheader", faults, longest=LONGEST_PREHEADER)
    _check_content(texts.html, "html_content", faults)
    _check_content(wanted.plain_content or texts.plain, "plain_content", faults)
    return texts


def _check_content(text: str, where: str, faults: list[Fault]) -> None:
    check_text(text, where, faults, longest=LONGEST_CONTENT)
    if LONGEST_CONTENT < 4 * len(text) <= 4 * LONGEST_CONTENT and len(text.encode()) > LONGEST_CONTENT:
        faults.append(Fault(f"At most {LONGEST_CONTENT:,} bytes", where))


def _test_data(text: str, faults: list[Fault]) -> str:
    _check_content(text, "test_data", faults)
    if len(text) <= LONGEST_CONTENT:
        data = example_data(text)
        if data is None:
            faults.append(Fault("It is a JSON object, written as a text", "test_data", help_texts.TEST_DATA))
        else:
            check_json(data, "test_data", faults, longest=LONGEST_CONTENT)
    return text


def example_data(text: str) -> dict[str, Any] | None:
    """The data of a version's previews; None for what is no JSON object."""
    try:
        return _DATA.decode(text) if text else {}
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
