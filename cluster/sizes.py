"""How sizes are said, in commands, by doctor and in the console: in decimal units, as disks are sold. Pure."""

_UNITS = ("B", "KB", "MB", "GB", "TB")
MB, GB = 1000**2, 1000**3


def size_text(bytes: float) -> str:
    """1.5 GB: at most one digit after the point."""
    value, unit = float(bytes), _UNITS[0]
    for unit in _UNITS:
        if abs(value) < 999.95 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:,.1f}".removesuffix(".0") + f" {unit}"
