"""What tracking does to the texts of a message."""

from typing import Any

import pytest

from actors.compose.tracking.transform import TrackingTransform, tracking_transform
from actors.compose.transform import Growth, SharedBy, Text
from cluster.tracking.choices import Analytics, Tracking, UnsubscribeText
from tests.unit.compose.tracking.reading import ADA, BASE, KEY, tracked

IMAGE = f"{BASE}/i/img_01KQ7B2XWJ5T0E8M3N6R9VA4CJ"
GA = Analytics("news", "e mail", "", "", "spring&sale")


@pytest.mark.parametrize(
    ("body", "values", "expected"),
    [
        ("<body>\0 x</body>", ["a %o% b"], "<body>a <pixel> b x</body>"),
        ("<body>\0 x</body>", ["a"], "<body>a x<pixel></body>"),
        ("<body>\0\0</body>", ["%o%%o%", "c"], "<body><pixel><pixel>c</body>"),
        ("<body>%o%\0</body>", ["a"], "<body><pixel>a</body>"),
        ('<body><p title="\0">\0</body>', ["%o%", "a"], '<body><p title="%o%">a<pixel></body>'),
        (
            '<a href="https://a.example/\0">x</a>\0',
            ["1", "%o%"],
            '<a href="<0:https://a.example/1>">x</a><pixel>',
        ),
    ],
)
def test_the_tag_of_the_pixel_may_be_in_a_value(body: str, values: list[str], expected: str) -> None:
    keys = [f"-{number}-" for number in range(len(values))]
    given = dict(zip(keys, values, strict=True))
    assert tracked(body, keys, given, opens=True, clicks=True, open_tag="%o%") == expected


def test_a_value_of_nothing_but_tags_of_the_pixel_grows_as_told() -> None:
    tracking = Tracking(base_url=BASE, tenant_number=1, opens=True, open_tag="%")
    text = TrackingTransform(tracking, KEY).change(Text("text/html", ("<p>", "</p>"), ("-a-",)))
    assert text is not None
    value = "%" * 1000
    made = text.filled(ADA, {"-a-": value})
    growth = sum([hole.growth for hole in text.holes if not isinstance(hole, str | int)], Growth(0))
    assert len("".join(made)) - len(value) <= growth.most(len(value)) <= 3 * len("".join(made))


@pytest.mark.parametrize(
    ("body", "choices", "expected"),
    [
        ("<body>x</body></html>", {"opens": True}, "<body>x<pixel></body></html>"),
        ("<p>x", {"opens": True}, "<p>x<pixel>"),
        ("<body>1</body><body>2</BODY >", {"opens": True}, "<body>1</body><body>2<pixel></BODY >"),
        ("<body>%o% x</body>", {"opens": True, "open_tag": "%o%"}, "<body><pixel> x</body>"),
        ("<body>x</body>", {"opens": True, "open_tag": "%o%"}, "<body>x<pixel></body>"),
        (f'<img src="{IMAGE}">', {"opens": True}, f'<img src="{IMAGE}?m=<open>"><pixel>'),
        (
            f'<img src="{IMAGE}?variant=thumbnail">',
            {"opens": True},
            f'<img src="{IMAGE}?variant=thumbnail&amp;m=<open>"><pixel>',
        ),
        (f'<img src="{IMAGE}">', {"clicks": True}, f'<img src="{IMAGE}">'),
        (
            f'<a href="{IMAGE}">x</a><a href="{BASE}/t/x">',
            {"clicks": True},
            f'<a href="{IMAGE}">x</a><a href="{BASE}/t/x">',
        ),
        (
            "<body>x</body>",
            {"subscription": UnsubscribeText(html="No? <% Leave %>!")},
            '<body>xNo? <a href="<leave all>">Leave</a>!</body>',
        ),
        (
            "<body>x</body>",
            {"subscription": UnsubscribeText(html='<a href="<% %>">Q</a>')},
            '<body>x<a href="<leave all>">Q</a></body>',
        ),
        (
            "<body>x</body>",
            {"subscription": UnsubscribeText(html="Bye")},
            '<body>xBye <a href="<leave all>">Unsubscribe</a></body>',
        ),
        ("<body>[unsubscribe]</body>", {"subscription": UnsubscribeText(html="Bye")}, "<body><leave all></body>"),
        ("<body>[unsubscribe]</body>", {"opens": True}, "<body>[unsubscribe]<pixel></body>"),
        (
            '<a href="[own]">x</a>',
            {"subscription": UnsubscribeText(tag="[own]"), "clicks": True},
            '<a href="<leave all>">x</a>',
        ),
        (
            '<a href="%5Bunsubscribe%5D">x</a><a href="%5bunsubscribe%5d">y</a>',
            {"subscription": UnsubscribeText(), "clicks": True},
            '<a href="<leave all>">x</a><a href="<leave all>">y</a>',
        ),
        ("&lt;own&gt;", {"subscription": UnsubscribeText(tag="<own>")}, "<leave all>"),
        (
            '<a href="<%asm_group_unsubscribe_raw_url%>">x</a>',
            {"group_id": 4, "clicks": True},
            '<a href="<leave 4>">x</a>',
        ),
        ('<a href="&lt;%asm_global_unsubscribe_raw_url%&gt;">x</a>', {"group_id": 4}, '<a href="<leave all>">x</a>'),
        ('<a href="%3C%25asm_preferences_raw_url%25%3E">x</a>', {"group_id": 4}, '<a href="<leave 4>">x</a>'),
        ("<%asm_group_unsubscribe_url%>", {"group_id": 4}, '<a href="<leave 4>">Unsubscribe</a>'),
        (
            '<a href="https://a.example/?utm_source=own#f">',
            {"analytics": GA},
            '<a href="https://a.example/?utm_source=own&amp;utm_medium=e%20mail&amp;utm_campaign=spring%26sale#f">',
        ),
        (
            '<a href="https://a.example">',
            {"analytics": GA, "clicks": True},
            '<a href="<0:https://a.example?utm_source=news&utm_medium=e%20mail&utm_campaign=spring%26sale>">',
        ),
    ],
)
def test_html(body: str, choices: dict[str, Any], expected: str) -> None:
    assert tracked(body, **choices) == expected


@pytest.mark.parametrize(
    ("body", "choices", "expected"),
    [
        ("See https://a.example/b.", {"clicks": True, "text_clicks": True}, "See <0:https://a.example/b>."),
        ("(https://a.example/(b)), x", {"clicks": True, "text_clicks": True}, "(<0:https://a.example/(b)>), x"),
        ("See https://a.example", {"clicks": True, "opens": True}, "See https://a.example"),
        ("x", {"subscription": UnsubscribeText(text="Leave: <% %>.")}, "x\n\nLeave: <leave all>."),
        ("x\n", {"subscription": UnsubscribeText()}, "x\n\nUnsubscribe: <leave all>"),
        ("x [unsubscribe]", {"subscription": UnsubscribeText(), "text_clicks": True}, "x <leave all>"),
        ("<%asm_group_unsubscribe_url%>", {"group_id": 4}, "<leave 4>"),
    ],
)
def test_plain_text(body: str, choices: dict[str, Any], expected: str) -> None:
    assert tracked(body, kind="text/plain", **choices) == expected


def test_amp_has_links_only() -> None:
    body = f'<body><a href="https://a.example">x</a><amp-img src="{IMAGE}"></amp-img></body>'
    expected = body.replace("https://a.example", "<0:https://a.example>")
    choices: dict[str, Any] = {"opens": True, "clicks": True, "subscription": UnsubscribeText()}
    assert tracked(body, kind="text/x-amp-html", **choices) == expected
    assert (
        tracked("BEGIN:VCALENDAR https://a.example", kind="text/calendar", **choices)
        == "BEGIN:VCALENDAR https://a.example"
    )


def test_values_in_amp_are_treated_as_its_text_is() -> None:
    value = f'<amp-img src="{IMAGE}"></amp-img><%asm_group_unsubscribe_url%><a href="https://a.example">x</a>'
    choices: dict[str, Any] = {"kind": "text/x-amp-html", "opens": True, "clicks": True, "group_id": 4}
    expected = f'<amp-img src="{IMAGE}"></amp-img><leave 4><a href="<0:https://a.example>">x</a>'
    assert tracked(value, **choices) == expected
    assert tracked("\0", ["0"], {"0": value}, **choices) == expected


@pytest.mark.parametrize(
    ("body", "values", "expected"),
    [
        (
            '<a href="https://a.example/\0?b=\0">\0</a>',
            ["x", "1&amp;2", "n"],
            '<a href="<0:https://a.example/x?b=1&2>">n</a>',
        ),
        ('<a href="\0">x</a>', ["https://a.example"], '<a href="<0:https://a.example>">x</a>'),
        ('<a href="\0">x</a>', ['https://a.example/" id="b'], '<a href="https://a.example/" id="b">x</a>'),
        ("<a href=\0>x</a>", ["https://a.example/ b"], "<a href=https://a.example/ b>x</a>"),
        ("<a href=\0>x</a>", ["https://a.example/'"], "<a href=<0:https://a.example/'>>x</a>"),
        ('<a href="\0">x</a>', ["javascript:alert(1)"], '<a href="javascript:alert(1)">x</a>'),
        ('<a href="https://\0/">x</a>', [""], '<a href="https:///">x</a>'),
        ('<a href="\0">x</a>', ["&lt;%asm_group_unsubscribe_raw_url%&gt;"], '<a href="<leave 4>">x</a>'),
        (
            '\0<a href="https://z.example">z</a>\0',
            ["<a href='http://b.example'>", '<A HREF="http://c.example"><a href=http://d.example>'],
            '<a href=\'<1:http://b.example>\'><a href="<0:https://z.example>">z</a><A HREF="<2:http://c.example>"><a href=<3:http://d.example>>',
        ),
        (
            "<p title='\0'>\0</p>",
            ["https://no.example", "https://no.example"],
            "<p title='https://no.example'>https://no.example</p>",
        ),
        ("<script>\0</script>", ['<a href="https://no.example">'], '<script><a href="https://no.example"></script>'),
        ("\0", ["<%asm_preferences_raw_url%>"], "<leave 4>"),
    ],
)
def test_values_of_templates_and_substitutions(body: str, values: list[str], expected: str) -> None:
    keys = [str(number) for number in range(len(values))]
    assert tracked(body, keys, dict(zip(keys, values, strict=True)), clicks=True, group_id=4) == expected


@pytest.mark.parametrize("value", ["[unsubscribe]", "%5Bunsubscribe%5D", "*|GO|*", "%2A%7CGO%7C%2A"])
def test_a_value_is_the_tag_of_subscription_tracking(value: str) -> None:
    choices: dict[str, Any] = {"clicks": True, "subscription": UnsubscribeText(html="<% Bye %>", tag="*|GO|*")}
    body, end = '<a href="\0">x</a>', '<a href="<leave all>">Bye</a>'
    assert tracked(body, ["0"], {"0": value}, **choices) == f'<a href="<leave all>">x</a>{end}'
    assert tracked("\0", ["0"], {"0": f"Go: {value}"}, **choices) == f"Go: <leave all>{end}"


def test_a_hole_that_may_hide_a_link_asks_for_the_whole_text() -> None:
    assert tracked("<a \0>x</a>", ["0"], {"0": 'href="https://a.example"'}, clicks=True) is None
    assert tracked('<a href="https://a.example">\0', ["0"], {"0": "x"}, analytics=GA) is None


def test_values_in_plain_text() -> None:
    values = {"0": "a b", "1": "see https://b.example!"}
    body, choices = "https://a.example/\0 and \0", {"clicks": True, "text_clicks": True}
    expected = "<0:https://a.example/a> b and see <1:https://b.example>!"
    assert tracked(body, ["0", "1"], values, kind="text/plain", **choices) == expected


def test_links_of_plain_text_are_tracked_only_where_the_request_says_so() -> None:
    choices: dict[str, Any] = {"opens": True, "clicks": True, "analytics": Analytics("news")}
    body, expected = "https://a.example/\0", "https://a.example/x?utm_source=news"
    assert tracked(body, ["0"], {"0": "x"}, kind="text/plain", **choices) == expected
    assert tracked(expected.partition("?")[0], kind="text/plain", **choices) == expected


@pytest.mark.parametrize(
    ("choices", "types", "scope"),
    [
        ({"opens": True, "clicks": True}, ["text/plain"], None),
        ({"opens": True, "clicks": True}, ["text/plain", "text/html"], SharedBy.RECIPIENT),
        ({"clicks": True, "text_clicks": True}, ["text/plain"], SharedBy.RECIPIENT),
        ({"group_id": 4}, ["text/plain"], SharedBy.RECIPIENT),
        ({"analytics": GA}, ["text/plain"], SharedBy.REQUEST),
        ({"opens": True}, [], SharedBy.RECIPIENT),
        ({"opens": True}, ["text/calendar"], None),
    ],
)
def test_recipients_share_what_nothing_is_tracked_in(
    choices: dict[str, Any], types: list[str], scope: SharedBy | None
) -> None:
    transform = tracking_transform(Tracking(base_url=BASE, tenant_number=1, **choices), KEY, types)
    assert (transform.scope if transform is not None else None) == scope
    assert tracking_transform(None, KEY, types) is None
