import pytest

from actors.compose.holed import Filling
from actors.compose.render import Rendered, Renderer
from cluster.journal.records import Address, BodyPart, Footer
from tests.unit.compose.reading import SENDER, content, html, personalization, plain


def whole(said: Rendered) -> tuple[BodyPart, ...]:
    return tuple(part.part() if isinstance(part, Filling) else part for part in said.parts)


def test_personal_over_content() -> None:
    renderer = Renderer(content(plain("x"), subject="shared", headers={"X-A": "1", "X-B": "2"}))
    said = renderer.render(personalization())
    assert (said.from_, said.subject, said.headers) == (SENDER, "shared", {"X-A": "1", "X-B": "2"})
    own = Address("own@example.com")
    said = renderer.render(personalization(from_=own, subject="", headers={"x-b": "own", "X-C": "3"}))
    assert (said.from_, said.subject, said.headers) == (own, "", {"X-A": "1", "x-b": "own", "X-C": "3"})


def test_what_nobody_changes_is_the_same_object() -> None:
    shared = content(plain("no keys"), html("-key-"), subject="no keys", reply_to=(SENDER,))
    renderer = Renderer(shared)
    for own in (
        personalization(),
        personalization(substitutions={"absent": "x"}),
        personalization(substitutions={"": "x"}),
    ):
        said = renderer.render(own)
        assert said.parts is renderer.parts
        assert said.subject is shared.subject
        assert said.reply_to is shared.reply_to
    said = renderer.render(personalization(substitutions={"-key-": "x"}))
    assert said.parts[0] is renderer.parts[0]
    assert whole(said)[1] == html("x")
    other = renderer.render(personalization(substitutions={"-key-": "y"}))
    cuts = [part.cut for part in (said.parts[1], other.parts[1]) if isinstance(part, Filling)]
    assert len(cuts) == 2 and cuts[0] is cuts[1]


@pytest.mark.parametrize(
    ("substitutions", "text"),
    [
        ({"a": "b", "b": "a", "ab": "ba"}, "b a ba.*"),  # one pass: no value is taken for a key
        ({"ab": "1", "a": "2"}, "2 b 1.*"),  # the longest key first, in whatever order they came
        ({"a": "2", "ab": "1"}, "2 b 1.*"),
        ({".*": "\\1 {x} %s"}, "a b ab\\1 {x} %s"),  # keys and values are literal
        ({" ": "\r\n"}, "a\nb\nab.*"),
    ],
)
def test_substitutions_are_literal(substitutions: dict[str, str], text: str) -> None:
    said = Renderer(content(plain("a b ab.*"))).render(personalization(substitutions=substitutions))
    assert whole(said) == (plain(text),)


def test_substitutions_reach_subject_and_reply_to() -> None:
    renderer = Renderer(
        content(plain("x"), subject="k", reply_to=(Address("k@example.com", "k"), Address("o@k.example")))
    )
    said = renderer.render(personalization(substitutions={"k": "v"}))
    assert said.subject == "v"
    assert said.reply_to == (Address("v@example.com", "v"), Address("o@v.example"))
    assert renderer.render(personalization(subject="own k", substitutions={"k": "v"})).subject == "own v"


def test_html_values_are_not_escaped() -> None:
    said = Renderer(content(html("<p>-x-</p>"))).render(personalization(substitutions={"-x-": "<b>&</b>"}))
    assert whole(said) == (html("<p><b>&</b></p>"),)


def test_many_key_sets_give_right_answers() -> None:
    renderer = Renderer(content(plain("".join(f"<{number}>" for number in range(100)))))
    for _ in range(2):
        for number in range(100):
            [part] = whole(renderer.render(personalization(substitutions={f"<{number}>": "*"})))
            assert part.value.count("*") == 1


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (plain("text"), "text\nF"),
        (plain("text\r\n"), "text\nF"),
        (plain(""), "F"),
        (BodyPart("text/x-amp-html", "<body></body>"), "<body></body>"),
        (html("<body>x</body></html>"), "<body>x<i>F</i></body></html>"),
        (html("</body>x</BODY ></html>"), "<i>F</i></body>x</BODY ></html>"),
        (html("İ<body>x</BODY></html>"), "İ<body>x<i>F</i></BODY></html>"),
        (html("no end"), "no end<i>F</i>"),
    ],
)
def test_footer(part: BodyPart, text: str) -> None:
    [said] = Renderer(content(part, footer=Footer("F", "<i>F</i>"))).render(personalization()).parts
    assert said == BodyPart(part.type, text)


@pytest.mark.parametrize(
    ("text", "markup", "filled"),
    [
        ("-x-", "-x-", (plain("v</body>\n-x-"), html("v-x-</body>"))),
        ("-x-.\n", "-x-!", (plain("v</body>.\n-x-"), html("v-x-</body>!"))),
        ("-x-.", "-x-</body></html>", (plain("v</body>.\n-x-"), html("v</body>-x-</body></html>"))),
        ("-x-.", "-x-</BODY>", (plain("v</body>.\n-x-"), html("v-x-</body></BODY>"))),
    ],
)
def test_footer_stands_after_substitution_and_is_not_substituted(
    text: str, markup: str, filled: tuple[BodyPart, ...]
) -> None:
    renderer = Renderer(content(plain(text), html(markup), footer=Footer("-x-", "-x-")))
    assert whole(renderer.render(personalization(substitutions={"-x-": "v</body>"}))) == filled


def test_no_parts_say_an_empty_text() -> None:
    assert Renderer(content()).render(personalization()).parts == (plain(""),)
