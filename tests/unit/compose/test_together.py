"""Texts that are encoded together are what each is by itself."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from actors.compose.mime import MimeSkeleton, compile_content
from actors.compose.relaxed import relaxed_lines, without_empty_end
from actors.compose.skeleton import Composed, Skeleton
from actors.compose.templated import Version
from actors.compose.tracking.transform import TrackingTransform
from actors.compose.transform import Addressee
from cluster.ids import new_id
from cluster.journal.records import PreparedPersonalization
from cluster.tracking.choices import Tracking, UnsubscribeText
from tests.unit.compose.reading import DATE, MESSAGE_ID, a_version, attachment, content, html, personalization, plain
from tests.unit.compose.tracking.reading import KEY

PIECES = [
    *(
        "Dear ",
        "{{a}}",
        "{{{b}}}",
        "{{#each c}}{{d}}  x\n{{/each}}",
        "\n",
        " ",
        "  ",
        ".",
        "From ",
        "é",
        "日本語",
        "--=_",
        "-",
    ),
    *(
        '<a href="https://x.example/1">one</a>',
        '<a href="https://x.example/{{a}}?b={{b}}">own</a>',
        "https://x.example/",
    ),
    *("</body>", "[unsubscribe]", "\t", "x" * 990, "--", "\x1f"),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
WORDS = [
    "Ada",
    "A-7",
    "a b",
    "a  b",
    " ",
    "",
    "é",
    "=_",
    ".",
    "From me",
    "\n",
    "x\ny\n",
    "\x1f",
    "https://y.example/",
    "<b>",
]
VALUES = st.lists(st.sampled_from(WORDS), max_size=3).map("".join)
DATA = st.fixed_dictionaries(
    {}, optional={"a": VALUES, "b": VALUES, "c": st.lists(st.fixed_dictionaries({"d": VALUES}))}
)
ADDRESSEE = Addressee(new_id("msg_"), 0, "ada@example.com")
TRACKING = Tracking(
    base_url="https://t.example", tenant_number=1, opens=True, clicks=True, subscription=UnsubscribeText()
)


def skeleton_of(version: Version, *, is_tracked: bool) -> Skeleton:
    file = attachment(b"data")
    shared = content(attachments=(file,), tracking=TRACKING if is_tracked else None)
    transform = TrackingTransform(TRACKING, KEY) if is_tracked else None
    return compile_content(shared, {file.sha256: b"data"}, transform=transform, version=version)


def composed(skeleton: Skeleton, own: PreparedPersonalization) -> Composed:
    return skeleton.compose(own, message_id=MESSAGE_ID, date=DATE, addressee=ADDRESSEE)


def own_of(data: dict[str, object]) -> PreparedPersonalization:
    return personalization(template_data=json.dumps(data).encode())


@given(TEXTS, TEXTS, DATA, DATA, st.booleans())
@example("Dear {{a}}\n", "<p>{{a}}</p>\n", {"a": "Ada"}, {"a": "a  b"}, True)
@example("Dear {{a}}\n", "<p>é {{a}}</p>\n", {"a": "Ada"}, {"a": "From me"}, False)
@example("{{a}}--=_", "--{{a}}{{b}}", {}, {"a": "=_"}, False)
def test_together_and_by_themselves(
    text: str, markup: str, data: dict[str, object], other: dict[str, object], is_tracked: bool
) -> None:
    version = a_version(plain=text, html=markup)
    skeleton = skeleton_of(version, is_tracked=is_tracked)
    for given_data in (data, data, data, other, data):
        made = composed(skeleton, own_of(given_data))
        first = composed(skeleton_of(version, is_tracked=is_tracked), own_of(given_data))
        assert (made.header_fields, made.body, made.smtputf8) == (first.header_fields, first.body, first.smtputf8)
        relaxed = without_empty_end(relaxed_lines(made.body))
        assert made.relaxed is None or without_empty_end(made.relaxed) == relaxed


def test_the_second_message_in_a_row_is_followed_by_such_a_form() -> None:
    skeleton = skeleton_of(a_version(plain="Dear {{a}}\n", html="<p>{{a}}, é</p>\n"), is_tracked=False)
    assert isinstance(skeleton, MimeSkeleton)
    forms = []
    for name in ("Ada", "Bob", "Eve"):
        composed(skeleton, own_of({"a": name}))
        forms.append(skeleton.together.kept)
    assert forms[0] is None, "most requests have one message"
    assert forms[1] is not None and forms[1] is forms[2]


def test_parts_whose_keys_have_names_or_which_are_not_in_order_are_encoded_one_by_one() -> None:
    for shared in (content(plain("Dear -a-"), html("<p>-a-</p>")), content(html("<p>-a-</p>"), plain("-a-"))):
        skeleton = compile_content(shared, {})
        assert isinstance(skeleton, MimeSkeleton)
        for name in ("Ada", "Bob"):
            composed(skeleton, personalization(substitutions={"-a-": name}))
        assert skeleton.together.kept is None
