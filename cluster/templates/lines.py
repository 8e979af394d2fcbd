"""Lines of plain text: white space as html has it, blank lines between paragraphs, indents, and a template's blocks.
Pure."""

import re

from msgspec import Struct

from cluster.templates.slices import slices
from cluster.templates.tags import PieceKind

MAX_INDENTS = 8
"""Lists and quotations in each other that are shown as such."""

NEW_LINE = 1
BLANK_LINE = 2

_SPACE = " \t\n\f\r\xa0"
_SPACES = re.compile(f"[{_SPACE}]+")
_INVISIBLE = re.compile("[\u00ad\u034f\u200b\ufeff]+")
"""Characters that print nothing: mail pads hidden texts with them."""


class _Prefix(Struct):
    """What lines begin with: the bullet of a list's item on its first line, and an indent on the others."""

    first: str
    rest: str


class _OpenBlock(Struct, frozen=True):
    is_alone: bool = False
    """Whether its tags stand alone on lines."""
    breaks: int = 0
    """The line ends before it."""
    is_loop: bool = False
    begin: int = 0
    """The number of parts before it."""
    texts: int = 0
    """The number of texts before it."""
    before: tuple[int, int, str, bool] = (0, 0, "", False)
    """The state of the lines before it."""


class Lines:
    """Text that grows at its end."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._breaks = BLANK_LINE
        """The line ends after the last visible text; the beginning counts as a blank line."""
        self._wanted = 0
        """The line ends that come before the next text."""
        self._space = ""
        """What comes before the next text if that is on the same line."""
        self._is_spaced = False
        """Whether a tag that opens a block is the last thing on the line, with white space before it."""
        self._prefixes: list[_Prefix] = []
        self._blocks: list[_OpenBlock] = []
        self._texts = 0
        """How many texts were written."""

    def __len__(self) -> int:
        """The number of parts, for ``since``."""
        return len(self._parts)

    def since(self, length: int) -> str:
        """What was written after there were so many parts."""
        return "".join(self._parts[length:])

    def text(self, text: str) -> None:
        """Text with html's white space: any run of it is one space."""
        text = _spaced(text)
        if text.startswith(" "):
            self.space()
        if words := text.strip(" "):
            self._write(words)
            if text.endswith(" "):
                self.space()

    def as_it_is(self, text: str) -> None:
        """Text whose spaces and line ends count."""
        for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n")):
            if number:
                self.new_line()
            if line.strip():
                self._write(line.rstrip())

    def space(self, width: str = " ") -> None:
        """White space before the next text, if that is on the same line."""
        if len(width) > len(self._space) and not self._breaks and not self._is_spaced:
            self._space = width

    def at_least(self, breaks: int) -> None:
        """As many line ends before the next text, or more."""
        self._wanted = max(self._wanted, breaks)

    def new_line(self) -> None:
        """One line end more, up to a blank line."""
        self._wanted = min(max(self._wanted, self._breaks) + 1, BLANK_LINE)

    def behind(self, text: str) -> None:
        """Text on the line of the last text, whatever was wanted after that."""
        wanted, self._wanted = self._wanted, 0
        self._space = " "
        self._write(text)
        self._wanted = wanted

    def indent(self, first: str, rest: str) -> None:
        self._prefixes.append(_Prefix(first, rest))

    def outdent(self) -> None:
        self._prefixes.pop()

    def tag(self, mark: str, kind: PieceKind, *, is_loop: bool = False) -> None:
        """A block's tag. It stands alone on its line where a line begins anyway, and then all tags of the block do.
        Then the line ends after each branch are as many as before the block: whichever is printed, the next text has
        its distance. A loop's items follow each other as they are. A block without any text is left out."""
        if kind is PieceKind.OPEN:
            breaks = max(self._wanted, self._breaks)
            before = (self._breaks, self._wanted, self._space, self._is_spaced)
            self._blocks.append(_OpenBlock(breaks > 0, breaks, is_loop, len(self._parts), self._texts, before))
        block = self._blocks[-1] if self._blocks else _OpenBlock()
        if kind is PieceKind.CLOSE and self._blocks:
            self._blocks.pop()
            if block.texts == self._texts:
                del self._parts[block.begin :]
                self._breaks, self._wanted, self._space, self._is_spaced = block.before
                return
        if block.is_alone and kind is not PieceKind.OPEN:
            self.at_least(NEW_LINE if block.is_loop else block.breaks)
        if block.is_alone or self._wanted or self._breaks:
            self._end_lines()
            self._parts.append(f"{mark}\n")
        else:
            self._is_spaced = kind is PieceKind.OPEN and (self._is_spaced or bool(self._space))
            self._parts += (self._space, mark)
            self._space = ""

    def whole(self) -> str:
        return "".join(self._parts).rstrip(_SPACE)

    def _write(self, text: str) -> None:
        self._end_lines()
        if self._breaks:
            for prefix in self._prefixes[:MAX_INDENTS]:
                self._parts.append(prefix.first)
                prefix.first = prefix.rest
        self._parts += (self._space, text)
        self._texts += 1
        self._space = ""
        self._is_spaced = False
        self._breaks = 0

    def _end_lines(self) -> None:
        """The line ends that are wanted, as far as they are not there."""
        if self._wanted > self._breaks:
            self._parts.append("\n" * (self._wanted - self._breaks))
            self._breaks = self._wanted
        if self._wanted or self._breaks:
            self._space = ""
        self._wanted = 0


def _spaced(text: str) -> str:
    """The text with one space for each run of white space."""
    spaced = "".join([_SPACES.sub(" ", _INVISIBLE.sub("", text[begin:end])) for begin, end in slices(text)])
    while "  " in spaced:  # between slices
        spaced = spaced.replace("  ", " ")
    return spaced
