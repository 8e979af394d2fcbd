"""How values of parameters are written for ClickHouse. Pure."""

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\0": "\\0"})


def escaped(value: str) -> str:
    """The value of a parameter, ``{name:Type}``, as ClickHouse reads it: as in TSV."""
    return value.translate(_ESCAPES)
