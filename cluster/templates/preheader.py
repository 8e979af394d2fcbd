"""The preheader: the line that a mail client shows beside the subject. A client takes the beginning of the html's text
for it, so the preheader is put there, hidden. Pure."""

import re
from html import escape

from msgspec import structs

from cluster.templates.handlebars.tree import Block, Mustache, Program, Statement, Text

# Clients differ in which of these they honour; display:none is the one that most do, and mso-hide is Outlook's.
_HIDDEN = (
    "display:none;mso-hide:all;max-height:0;max-width:0;opacity:0;overflow:hidden;font-size:1px;line-height:1px;"
    "color:transparent"
)
OPENING = f'<div style="{_HIDDEN}">'
# What follows is invisible: it keeps the text of the body out of a line that is longer than the preheader.
CLOSING = f'</div><div style="{_HIDDEN}">{"&zwnj;&nbsp;" * 60}</div>'

_TAG = "\0"
"""Stands for what is no text. The reader of templates allows no NUL in texts."""
_PLACES = re.compile(
    r"<!--(?s:.*?)(?:-->|\Z)"
    r"|<(?P<raw>script|style|title)(?=[\s/>])(?s:.*?)(?:</(?P=raw)|\Z)"
    r"""|<(?P<name>body|/head|html|!doctype)(?=[\s/>\0])(?:=\s*+"[^"]*+(?:"|\Z)|=\s*+'[^']*+(?:'|\Z)|[^>])*+>""",
    re.IGNORECASE | re.ASCII,
)
_BEST = ("body", "/head", "html", "!doctype")
"""The tag that the preheader comes after, the best first."""


def with_preheader(html: Program, preheader: Program) -> Program:
    """The html with the hidden preheader at the beginning of its body. The preheader is text: what in it means
    something in html is escaped, also in its values."""
    at = _place("".join([part.value if isinstance(part, Text) else _TAG for part in html.body]))
    hidden = (Text(OPENING), *_as_text(preheader).body, Text(CLOSING))
    before: list[Statement] = []
    for index, part in enumerate(html.body):
        length = len(part.value) if isinstance(part, Text) else 1
        if at < length and isinstance(part, Text):
            cut = [Text(text) for text in (part.value[:at], part.value[at:]) if text]
            inside = [*cut[:1], *hidden, *cut[1:]] if at else [*hidden, *cut]
            return Program((*before, *inside, *html.body[index + 1 :]), html.block_params)
        if at < length:
            return Program((*before, *hidden, *html.body[index:]), html.block_params)
        before.append(part)
        at -= length
    return Program((*before, *hidden), html.block_params)


def _place(html: str) -> int:
    """Where the preheader goes: the offset behind a tag, or the beginning."""
    ends: dict[str, int] = {}
    for found in _PLACES.finditer(html):
        if name := found["name"]:
            ends.setdefault(name.lower(), found.end())
            if name.lower() == "body":
                break
    return next((ends[name] for name in _BEST if name in ends), 0)


def _as_text(program: Program) -> Program:
    return Program(tuple(map(_escaped, program.body)), program.block_params)


def _escaped(part: Statement) -> Statement:
    match part:
        case Text(value):
            return Text(escape(value, quote=False))
        case Mustache():
            return structs.replace(part, is_escaped=True)
        case Block(program=program, inverse=inverse):
            return structs.replace(
                part,
                program=None if program is None else _as_text(program),
                inverse=None if inverse is None else _as_text(inverse),
            )
