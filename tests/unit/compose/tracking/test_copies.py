"""Places that are filled together have what each of them has by itself."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.compose.mime import compile_content
from actors.compose.tracking.copies import plain_link
from actors.compose.tracking.places import FilledLink
from actors.compose.tracking.transform import TrackingTransform
from actors.compose.transform import Text
from cluster.ids import new_id
from cluster.journal.records import BodyPart
from cluster.tracking.choices import Analytics, Tracking, UnsubscribeText
from cluster.tracking.tokens import LONGEST_TARGET
from tests.unit.compose.reading import DATE, MESSAGE_ID, content, personalization
from tests.unit.compose.tracking.reading import ADA, BASE, KEY, changed, tracked

PIECES = [
    *(
        "https://x.example",
        "http://",
        "HTTPS://x.example/",
        BASE,
        "/t/",
        "/",
        "?",
        "a=",
        "&",
        "&amp;",
        "&am",
        "p;",
        "#",
    ),
    *("utm_source", "=", "-", "_", "asm_", "UNSUB", "[unsubscribe]", " ", "é", "%5B", ":8", "@", "\n", "x1"),
]
VALUES = st.lists(st.sampled_from([*PIECES, "A-7", "ada@x.example", "a_b"]), max_size=3).map("".join)
LITERALS = st.lists(st.lists(st.sampled_from(PIECES), max_size=4).map("".join), min_size=2, max_size=4)
CHOICES: list[dict[str, Any]] = [
    {"clicks": True},
    {"clicks": True, "opens": True, "subscription": UnsubscribeText(tag="UNSUB")},
    {"clicks": True, "analytics": Analytics(utm_source="postray", utm_medium="mail")},
    {"opens": True, "analytics": Analytics(utm_source="postray")},
]


@given(LITERALS, st.lists(VALUES, min_size=3, max_size=3), st.sampled_from(CHOICES), st.sampled_from(['"', "'", ""]))
@example(["https://x.example/", "/a"], ["A-7", "", ""], CHOICES[0], '"')
@example(["https://x.example/?", "=a"], ["utm_source", "", ""], CHOICES[2], '"')
@example(["https://x.example/?a=", "&amp;b=", "&c"], ["x", "y", ""], CHOICES[2], '"')
@example(["https://x.example/?a&am", "b"], ["p", "", ""], CHOICES[0], '"')
@example(["https://x.example/", "_x"], ["asm", "", ""], CHOICES[1], '"')
@example(["https://x.example/", "/"], ["UNSUB", "", ""], CHOICES[1], '"')
@example(["https://x.example", "/"], [".org", "", ""], CHOICES[0], '"')
@example([f"{BASE}/", "/x"], ["t", "", ""], CHOICES[0], '"')
def test_together_and_one_by_one(literals: list[str], values: list[str], choices: dict[str, Any], quote: str) -> None:
    """``changed`` compares the two."""
    keys = [str(number) for number in range(len(literals) - 1)]
    link = f"<p>\0</p><a href={quote}{chr(0).join(literals)}{quote}>one</a>"
    changed(link, ["0", *keys], dict(zip(keys, values, strict=False)), **choices)


def link_of(href: str, **choices: Any) -> FilledLink:
    transform = TrackingTransform(Tracking(base_url=BASE, tenant_number=1, **choices), KEY)
    pieces = tuple(f'<a href="{href}">one</a>'.split("\0"))
    text = transform.change(Text("text/html", pieces, tuple(range(len(pieces) - 1))))
    assert text is not None
    [link] = [hole for hole in text.holes if isinstance(hole, FilledLink)]
    return link


@pytest.mark.parametrize(
    ("href", "choices"),
    [
        ("https://x.example/\0", {}),
        ("http://x.example/a?b=\0&amp;c=\0#\0", {}),
        ("https://x.example/?b=\0", {"analytics": Analytics(utm_source="s")}),
        ("https://ü.example/\0", {}),
    ],
)
def test_links_whose_plain_values_decide_nothing(href: str, choices: dict[str, Any]) -> None:
    assert plain_link(link_of(href, clicks=True, **choices)) is not None


@pytest.mark.parametrize(
    ("href", "choices"),
    [
        ("https://x\0/", {}),
        ("https://x.example:\0/", {}),
        ("\0", {}),
        ("mailto:\0", {}),
        ("https://x.example/?a&am\0;b", {}),
        ("https://x.example/ \0", {}),
        (f"{BASE}/\0", {}),
        (f"{BASE}/t/\0", {}),
        ("https://x.example/?\0=1", {"analytics": Analytics(utm_source="s")}),
    ],
)
def test_links_that_any_value_may_change(href: str, choices: dict[str, Any]) -> None:
    assert plain_link(link_of(href, clicks=True, **choices)) is None


@pytest.mark.parametrize("length", [LONGEST_TARGET - 30, LONGEST_TARGET - 19, LONGEST_TARGET - 18, LONGEST_TARGET])
def test_a_target_that_becomes_too_long_is_not_tracked(length: int) -> None:
    value = "a" * length
    made = tracked('<a href="https://x.example/\0">one</a>', ["0"], {"0": value}, clicks=True)
    fits = len("https://x.example/") + length <= LONGEST_TARGET
    assert made == f'<a href="{"<0:" if fits else ""}https://x.example/{value}{">" if fits else ""}">one</a>'


def test_a_value_that_a_link_has_twice_counts_twice() -> None:
    value = "a" * (LONGEST_TARGET // 2)
    made = tracked('<a href="https://x.example/\0/\0">one</a>', ["0", "0"], {"0": value}, clicks=True)
    assert made == f'<a href="https://x.example/{value}/{value}">one</a>', "too long to be tracked"


def test_a_copy_with_an_odd_value_is_examined_and_leaves_the_others_as_they_are() -> None:
    tracking = Tracking(base_url=BASE, tenant_number=1, clicks=True)
    shared = content(BodyPart("text/html", '<a href="https://x.example/-n-">one</a>\n'), tracking=tracking)
    skeleton = compile_content(shared, {}, transform=TrackingTransform(tracking, KEY))
    usual, odd, again = (
        skeleton.compose(personalization(substitutions={"-n-": value}), message_id=MESSAGE_ID, date=DATE, addressee=ADA)
        for value in ("7", "é" * LONGEST_TARGET, "7")
    )
    assert usual == again
    assert (b"Content-Transfer-Encoding", b"7bit") in usual.header_fields
    assert b'<a href="https://t.example/t/c/' in usual.body
    assert (b"Content-Transfer-Encoding", b"base64") in odd.header_fields, "it is too long for a token"


@pytest.mark.parametrize(("base", "known"), [(BASE, 2), ("https://t.example/--=_", 0), ("https://t.example/ü", 0)])
def test_urls_need_no_examination_unless_the_installations_own_url_is_odd(base: str, known: int) -> None:
    transform = TrackingTransform(Tracking(base_url=base, tenant_number=1, clicks=True), KEY)
    text = transform.change(
        Text("text/html", ('<a href="https://x.example/1"><a href="https://x.example/', '">'), (0,))
    )
    assert text is not None
    assert len(text.words) == known


def test_values_for_two_recipients_are_apart() -> None:
    transform = TrackingTransform(Tracking(base_url=BASE, tenant_number=1, clicks=True, opens=True), KEY)
    text = transform.change(Text("text/html", ('<a href="https://x.example/', '">', "</a>"), (0, 1)))
    assert text is not None
    other = ADA.__class__(new_id("msg_"), 1, "grace@example.com")
    first, second, again = (text.filled(one, ("7", "Ada")) for one in (ADA, other, ADA))
    assert first == again
    assert [a == b for a, b in zip(first, second, strict=True)] == [False, True, False]
