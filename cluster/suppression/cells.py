"""Texts of others in the cells of CSV files: what a host or a recipient's provider said. Pure.

A spreadsheet computes a cell that begins as a formula does. An apostrophe before it says that it is a text; an import
takes it off again. Addresses have none: programs compare them, and one may begin so.
"""

BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Of formulas; the last three count since spreadsheets skip them."""
_MARK = "'"


def written(text: str) -> str:
    """A text as a file has it."""
    return _MARK + text if _is_marked(text) else text


def read(cell: str) -> str:
    """The text of a cell: what was written."""
    return cell[1:] if cell.startswith(_MARK) and _is_marked(cell) else cell


def _is_marked(text: str) -> bool:
    """Whether it begins as a formula, behind however many apostrophes: so each text can be told from the others."""
    return text.lstrip(_MARK).startswith(BEGINNINGS)
