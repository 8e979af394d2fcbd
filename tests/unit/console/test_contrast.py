"""What is written on what, in both schemes: WCAG 2.2 asks for 4.5 to 1 between text and what is behind it (1.4.3), and
for 3 to 1 at the edges of fields and the lines of charts (1.4.11)."""

import re

import pytest

from api.console.pages import Pages

STYLE = Pages().files["console.css"].body.decode()
DARK = "@media (prefers-color-scheme: dark)"
SCHEMES = ("light", "dark")
TONES = ("blue", "amber", "red", "grey", "violet", "green")


def colours(scheme: str) -> dict[str, str]:
    """The colours by their names. What is said for dark screens comes after what it replaces."""
    found: dict[str, str] = {}
    for part in STYLE.split("@media")[: 1 if scheme == "light" else None]:
        found |= re.findall(r"--([a-z]+): (#[0-9a-f]{6})", part)
    if scheme == "light":
        for plain in re.findall(r"^:root \{[^}]*\}", STYLE, re.MULTILINE):
            found |= re.findall(r"--([a-z]+): (#[0-9a-f]{6})", plain)
    return found


def light(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_counted_as_wcag_does() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_can_be_read(scheme: str) -> None:
    found = colours(scheme)
    assert len(found) == 12 and DARK in STYLE
    for ink in ("ink", "soft", "blue", "amber", "red", "green"):
        for behind in ("page", "card"):
            assert contrast(found[ink], found[behind]) >= 4.5, (ink, behind)
    assert contrast("#ffffff", found["button"]) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_lines_and_edges_can_be_seen(scheme: str) -> None:
    found = colours(scheme)
    for tone in (*TONES, "soft"):
        assert contrast(found[tone], found["card"]) >= 3, tone
        assert contrast(found[tone], found["page"]) >= 3, tone


def test_no_colour_stands_beside_those_that_are_looked_at() -> None:
    rules = re.sub(r":root \{[^}]*\}", "", STYLE)
    assert set(re.findall(r"#[0-9a-f]{3,8}\b", rules)) == {"#ffffff"}
