"""Finds the SMTP reply in a diagnostic or in prose (RFC 5321 §4.2, RFC 3463)."""

import re

from msgspec import Struct

from cluster.mail_in.report import LONGEST_DIAGNOSTIC

_STATUS = r"[245]\.\d{1,3}\.\d{1,3}(?![\d.])"
_WITH_STATUS = re.compile(rf"(?<![\w.#/])([45]\d\d)[ -]+['\"(<]{{0,2}}#?({_STATUS})[')>:;]?")
"""A code and a status, as almost every host writes them."""
_LED = re.compile(
    r"(?:^|[;'\"«“:\uff1a>]|<<<|<--|\b(?:said|says|error|code|status|reply|response|returned|with|réponse|antwort|respuesta))"
    r"[ \t:=#(-]{0,4}([45]\d\d)(?=[ \t\n-]+[^\s\d]|[:,;]? |['\")]|$)",
    re.MULTILINE | re.IGNORECASE,
)
"""A code alone, where the words before it say that it is one: numbers are common in prose."""
_STATUS_ALONE = re.compile(rf"(?<![\w.]){_STATUS}")
_STATUS_IN_PROSE = re.compile(
    rf"(?:#|\(|\bstatus[: ]{{1,2}}|\bcode[: ]{{1,2}}|^[ \t]{{0,20}}){_STATUS}", re.MULTILINE | re.IGNORECASE
)
_END = re.compile(r"\n[ \t]*\n|\n[ \t]*[-=_*]{3,}|\n(?=[ \t]*<?[^\s<>@]{1,64}@[^\s<>@]{1,255}>?:?[ \t]*(?:\n|$))")
"""Where a reply in prose ends: at an empty line, a line that divides, or the next recipient."""
_TAIL = re.compile(
    r"\s*(?:\((?:in|while) [^()\n]{1,80}\)|giving up on [\w.:\[\] -]{1,260}|i'm not going to try again[^\n]{1,100}"
    r"|remote host said:?)\.?\s*$",
    re.IGNORECASE,
)
"""What hosts add to the reply that they pass on."""
_CODE = re.compile(r"([245]\d\d)(?:[ -]|$)")


class Reply(Struct, frozen=True):
    code: int = 0
    """0: the text has none."""
    status: str = ""
    text: str = ""
    """It begins with the code, where there is one."""


def reply_in(text: str) -> Reply:
    """The reply in a diagnostic; where there is none, its text."""
    found = _found(text, _STATUS_ALONE)
    return found or Reply(text=_tidy(text))


def reply_in_prose(text: str) -> Reply | None:
    """The first reply in a text that people read too."""
    return _found(text, _STATUS_IN_PROSE)


def code_of(diagnostic: str) -> int:
    """The code that a diagnostic begins with; 0 when it has none."""
    found = _CODE.match(diagnostic)
    return int(found[1]) if found else 0


def _found(text: str, alone: re.Pattern[str]) -> Reply | None:
    found, led = _WITH_STATUS.search(text), _LED.search(text)
    if found is not None and (led is None or found.start() <= led.start(1)):
        said = _without_tail(_tidy(text[found.end() : _end_of(text, found.end())]))
        return Reply(int(found[1]), found[2], _lines(found[1], found[2], said))
    if led is not None:
        said = _without_tail(_tidy(text[led.end(1) : _end_of(text, led.end(1))]))
        status = _STATUS_ALONE.search(said)
        return Reply(int(led[1]), status[0] if status else "", _lines(led[1], "", said))
    if (bare := alone.search(text)) is not None:
        status = _STATUS_ALONE.search(bare[0])
        begin = text.rfind("\n\n", 0, bare.start()) + 1
        return Reply(0, status[0] if status else "", _tidy(text[begin : _end_of(text, bare.end())]))
    return None


def _end_of(text: str, begin: int) -> int:
    end = _END.search(text, begin, begin + LONGEST_DIAGNOSTIC)
    return end.start() if end else begin + LONGEST_DIAGNOSTIC


def _lines(code: str, status: str, said: str) -> str:
    """The reply, as a host sends it: a report joins the lines of one that has several."""
    lead = rf"{code}[ -]" + (rf"(?:{re.escape(status)}[ -]?)?" if status else "")
    parts = [part.strip() for part in re.split(rf"(?:^|\s){lead}", said)]
    parts = list(dict.fromkeys(part for part in parts if part)) or [""]
    begin = f"{code}{{}}{status} " if status else f"{code}{{}}"
    last = len(parts) - 1
    return "\n".join((begin.format("-" if i < last else " ") + part).rstrip() for i, part in enumerate(parts))


def _without_tail(said: str) -> str:
    while (shorter := _TAIL.sub("", said)) != said:
        said = shorter
    return said


def _tidy(said: str) -> str:
    said = " ".join(said[:LONGEST_DIAGNOSTIC].split()).lstrip(" -:;,)")
    if said[:1] in ("'", '"') and said.count(said[0]) == 2 and said.endswith(said[0]):
        said = said[1:-1]
    is_open = said.count(said[-1]) % 2 if said.endswith(("'", '"')) else False
    for opening, closing in ("()", "<>"):
        is_open = is_open or (said.endswith(closing) and said.count(opening) < said.count(closing))
    return (said[:-1] if is_open else said).strip()
