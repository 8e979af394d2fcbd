"""Long html is worked on in slices, wherever these are cut."""

import re

import pytest

from cluster.templates import lines, slices
from cluster.templates.plain_text import plain_text

HTML = (
    r"<p>one \{{ two  \\{{name}}  three {{{raw}}} &nbsp; four   </p>{{#each a}}<b>{{this}}</b> <br>{{/each}}"
    "<!-- < {{#if x}} -->a\u200b\u200bb\u00ad c \n\t d < e<br><style>p { color: red }</style><a href='https://x.example'>l</a>"
    "{{#if a}}<table><tr><td>x{{else}}<td>y{{/if}}</table> { {{x}} \\ {{y}} \xa0\xa0 end"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("generation", ["dynamic", "legacy"])
def test_cuts_change_nothing(monkeypatch: pytest.MonkeyPatch, size: int, generation: str) -> None:
    whole = plain_text(HTML, generation)  # type: ignore[arg-type]
    monkeypatch.setattr(slices, "SLICE", size)
    assert plain_text(HTML, generation) == whole  # type: ignore[arg-type]


def test_no_search_is_longer_than_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []

    class Watched:
        def __init__(self, pattern: re.Pattern[str]) -> None:
            self._pattern = pattern

        def sub(self, by: str, text: str) -> str:
            searched.append(len(text))
            return self._pattern.sub(by, text)

    for name in ("_SPACES", "_INVISIBLE"):
        monkeypatch.setattr(lines, name, Watched(getattr(lines, name)))
    assert plain_text("<p>" + "x " * 200_000 + "</p>", "legacy") == ("x " * 200_000).strip()
    assert len(searched) > 2 and max(searched) <= slices.SLICE
