"""Reads the text of an address field (RFC 5322 §3.4), with comments, groups and the characters of RFC 6532. Pure.

Of the obsolete forms (§4.4) it reads empty elements, which programs write. Whether mail can go to an address is checked
elsewhere. The time is linear in the length of the text.
"""

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from cluster.journal.records import Address

_TOKEN = re.compile(
    r"""[ \t]*+(?:
    (?P<word>[^ \t<>()\[\]:;@\\,"]++)
    |(?P<quoted>"(?:[^"\\]|\\.)*+")
    |(?P<literal>\[[^\[\]\\<>\s]*+\])
    |(?P<special>[<>@,:;])
    |(?P<comment>\()
    |\Z)""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT_PART = re.compile(r"[^()\\]++|\\.|[()]", re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_white = re.compile(r"\s").search

_MAILBOX = r"(?>[wq]*+<[wq](?:@[wl])?>|[wq](?:@[wl])?)?+"
_MAILBOXES = rf"{_MAILBOX}(?:,{_MAILBOX})*+"
_is_list = re.compile(rf"(?>[wq]++:{_MAILBOXES};|{_MAILBOX})(?:,(?>[wq]++:{_MAILBOXES};|{_MAILBOX}))*+").fullmatch
"""Over the kinds of the tokens, a character for each: w for a word, q for a quoted string, l for a domain literal, and
each special as it is."""

_Token = tuple[str, str]
"""Its kind, and its text. The kind "c" is a comment."""


class NotAddresses(ValueError):
    """The text is no list of addresses."""


class AddressList(Struct, frozen=True):
    """The addresses in the order of the text, those in groups too. Encoded words in names are not decoded."""

    mailboxes: tuple[Address, ...]
    has_groups: bool


def read_address_list(text: str) -> AddressList:
    """The addresses in an unfolded text, maybe none. Raises NotAddresses.

    The comments beside an address without a name are its name, as in ``root@host (Cron Daemon)``: before RFC 2822 names
    were written so, and cron still does.
    """
    tokens = list(_tokens(text))
    if not _is_list("".join([kind for kind, _ in tokens if kind != "c"])):
        raise NotAddresses
    found: list[Address] = []
    element: list[_Token] = []
    for token in (*tokens, (",", "")):
        if token[0] not in ",:;":
            element.append(token)
            continue
        if token[0] != ":":  # before a colon is the name of a group
            found += _mailbox(element)
        element = []
    return AddressList(tuple(found), any(kind == ":" for kind, _ in tokens))


def _mailbox(element: Sequence[_Token]) -> Iterator[Address]:
    """The address of an element; none of one that is empty or has comments only."""
    said = [(kind, text) for kind, text in element if kind != "c"]
    if not said:
        return
    begin = next((number for number, (kind, _) in enumerate(said) if kind == "<"), None)
    words, address = (said[:begin], said[begin + 1 : -1]) if begin is not None else ([], said)
    email = "".join([text for _, text in address])
    if address[0][0] == "w" and _white(email):
        raise NotAddresses
    names = [_unquoted(text[1:-1]) if kind == "q" else text for kind, text in words]
    names = names or [text for kind, text in element if kind == "c"]
    yield Address(email, " ".join(names).strip(" \t") or None)


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise NotAddresses
        at = found.end()
        if found.lastgroup == "comment":
            end = _end_of_comment(text, at)
            yield "c", _unquoted(text[at : end - 1]).strip(" \t")
            at = end
        elif found.lastgroup is not None:
            said = found[found.lastgroup]
            yield said if found.lastgroup == "special" else found.lastgroup[0], said


def _end_of_comment(text: str, at: int) -> int:
    """Behind the comment whose text begins here. Comments nest."""
    depth = 1
    for part in _COMMENT_PART.finditer(text, at):
        depth += {"(": 1, ")": -1}.get(part[0], 0)
        if not depth:
            return part.end()
    raise NotAddresses


def _unquoted(text: str) -> str:
    return _QUOTED_PAIR.sub(r"\1", text)
