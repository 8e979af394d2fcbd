"""How addresses compare."""

import pytest

from cluster.suppression.address import compared, unusual


@pytest.mark.parametrize(
    ("email", "form"),
    [
        ("ada@example.com", "ada@example.com"),
        ("Ada.L+News@Example.COM", "ada.l+news@example.com"),
        ("ada@Bücher.example", "ada@xn--bcher-kva.example"),
        ("ÄDA@example.com", "äda@example.com"),
        ('"A@b"@example.com', '"a@b"@example.com'),
    ],
)
def test_case_and_spelling_make_no_difference(email: str, form: str) -> None:
    assert compared(email) == form
    assert compared(form) == form


def test_the_journal_is_given_the_form_only_where_it_cannot_tell() -> None:
    assert unusual("Ada@Bücher.example") is None
    assert unusual("Äda@example.com") == "äda@example.com"
