"""The preheader: the line that a mail client shows beside the subject, hidden in the html itself. Pure."""

import re

from cluster.templates.handlebars.tree import Program, Statement, Text

OPENING = (
    '<div style="display:none;visibility:hidden;mso-hide:all;font-size:1px;line-height:1px;color:transparent;'
    'max-height:0;max-width:0;opacity:0;overflow:hidden">'
)
CLOSING = "</div>"

_body = re.compile("<body[^>]*>", re.IGNORECASE).search


def with_preheader(html: Program, preheader: Program) -> Program:
    """The html with the hidden preheader at the beginning of its body, or of the whole where it has no body tag."""
    hidden = (Text(OPENING), *preheader.body, Text(CLOSING))
    body: list[Statement] = list(html.body)
    for i, statement in enumerate(body):
        if isinstance(statement, Text) and (found := _body(statement.value)) is not None:
            cut = found.end()
            body[i : i + 1] = [Text(statement.value[:cut]), *hidden, Text(statement.value[cut:])]
            return Program(tuple(body))
    return Program((*hidden, *body))
