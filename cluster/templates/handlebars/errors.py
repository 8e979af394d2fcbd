"""What can be wrong with a template, and with one run of it."""


class TemplateError(Exception):
    """A template that cannot be compiled. ``line`` and ``column`` count from 1; a column counts characters."""

    def __init__(self, reason: str, line: int, column: int) -> None:
        super().__init__(f"{reason} (line {line}, column {column})")
        self.reason = reason
        self.line = line
        self.column = column


class TooMuch(Exception):
    """A run that would exceed its bounds. ``reason`` is a sentence for the sender."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
