"""Parses the documents for the tests that compare them with the code: blocks, commands, links, names in code."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md")

API = "http://127.0.0.1:8080"
"""The API's address in the examples."""

WALK = "From nothing to the first mail"
"""The section of docs/going-live.md whose commands are run as they are written, in an empty folder."""

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_ASSIGNMENT = re.compile(r"^\w+=\$\((.*)\)\s*$", re.DOTALL)


class Block(Struct, frozen=True):
    """A code block."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(*languages: str) -> list[Block]:
    """The code blocks of all pages in these languages; "" is a block without a language."""
    return [
        Block(name_of(page), text.count("\n", 0, found.start()) + 1, found[1], found[2])
        for page in PAGES
        for text in [text_of(page)]
        for found in _BLOCK.finditer(text)
        if found[1] in languages
    ]


def walk() -> list[Block]:
    """The blocks of docs/going-live.md that lead from nothing to the first mail, in order."""
    page = ROOT / "docs" / "going-live.md"
    before, _, after = text_of(page).partition(f"\n## {WALK}\n")
    first = before.count("\n")
    last = first + after.partition("\n## ")[0].count("\n") + 2
    return [block for block in blocks("sh", "toml") if block.page == name_of(page) and first < block.line < last]


def lines(block: Block) -> Iterator[str]:
    """The commands of a shell block, each with its continuation lines."""
    command = ""
    for line in block.text.splitlines():
        command += line + "\n"
        if not _goes_on(command):
            if command.strip() and not command.lstrip().startswith("#"):
                yield command
            command = ""
    assert not command, f"{block}: {command!r} does not end"


def _goes_on(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True  # within quotes
    return command.endswith("\\\n")


def commands(line: str) -> list[list[str]]:
    """The words of each program that a command starts, also in ``X=$(…)`` and in each part of a pipe."""
    assigned = _ASSIGNMENT.match(line.strip())
    lexer = shlex.shlex(assigned[1] if assigned else line, posix=True, punctuation_chars="|")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if word == "|":
            found.append([])
        else:
            found[-1].append(word)
    return found


def in_code(page: Path) -> list[str]:
    """The texts in backticks outside code blocks."""
    return _INLINE.findall(_BLOCK.sub("", text_of(page)))


def links(page: Path) -> list[str]:
    return _LINK.findall(_BLOCK.sub("", text_of(page)))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as Git hosts make them."""
    headings = _HEADING.findall(_BLOCK.sub("", text_of(page)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(page: Path, heading: str) -> list[tuple[str, ...]]:
    """The cells of the table whose first line begins with ``heading``, without that line."""
    after = text_of(page).partition(f"\n| {heading} |")[2]
    table = after.partition("\n\n")[0].splitlines()[2:]
    return [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in table]
