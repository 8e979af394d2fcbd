"""How numbers and times are said on pages. Pure."""

from datetime import UTC, datetime

from analytics.charts.scale import lasting


def number(value: float) -> str:
    """12,345; below ten of what is not whole one digit after the point."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if value < 10 else f"{value:,.0f}"


def moment(at: datetime | None) -> str:
    """2026-04-23 10:00:05 UTC; "" for none."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at is not None else ""


def age(at: datetime, now: datetime) -> str:
    """How long ago: 12 s, 2.5 min, 3 h."""
    return lasting(max(0.0, (now - at).total_seconds()))


def share(part: float | None) -> str:
    """1.25 %; "too few" for None."""
    return "too few to tell" if part is None else f"{100 * part:.2f} %"
