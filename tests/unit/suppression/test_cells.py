import pytest

from cluster.suppression.cells import read, written

SHOWN = {
    "=HYPERLINK(1)": "'=HYPERLINK(1)",
    "+1": "'+1",
    "-1": "'-1",
    "@sum": "'@sum",
    "\t=1": "'\t=1",
    "'=1": "''=1",
    "550 5.1.1 no": "550 5.1.1 no",
    "'quoted'": "'quoted'",
    "5.1.1 = no such user": "5.1.1 = no such user",
    "": "",
}


@pytest.mark.parametrize(("text", "cell"), SHOWN.items())
def test_a_text_that_looks_like_a_formula_is_marked_and_comes_back_as_it_was(text: str, cell: str) -> None:
    assert written(text) == cell
    assert read(cell) == text


def test_what_others_wrote_unmarked_is_read_as_it_is() -> None:
    assert [read(text) for text in ("=1", "-", "it's", "'it")] == ["=1", "-", "it's", "'it"]
