"""Address fields are read as RFC 5322 has them, comments among it, and as Python's ``email`` reads them."""

import contextlib
from email.headerregistry import HeaderRegistry
from email.utils import getaddresses
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.journal.records import Address
from cluster.message.address_list import NotAddresses, read_address_list

registry = HeaderRegistry()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("root@host (Cron Daemon)", [Address("root@host", "Cron Daemon")]),
        ("(Cron Daemon) root@host", [Address("root@host", "Cron Daemon")]),
        ("root@host (a (nested) one)", [Address("root@host", "a (nested) one")]),
        (r"root@host (a \) b \( c)", [Address("root@host", "a ) b ( c")]),
        ("a@b (one), c@d (two)", [Address("a@b", "one"), Address("c@d", "two")]),
        ("Ada (at work) <(c) a@b (d)> (e)", [Address("a@b", "Ada")]),
        ('"Ada, L." (x) Lovelace <a@b>', [Address("a@b", "Ada, L. Lovelace")]),
        ("John Q. Public <a@b>", [Address("a@b", "John Q. Public")]),
        ('"a b"@c', [Address('"a b"@c')]),
        ('Ada <"a b" (x) @ (y) c>', [Address('"a b"@c', "Ada")]),
        ("a@[192.0.2.1]", [Address("a@[192.0.2.1]")]),
        ("a@b (c, d; e: <f@g>)", [Address("a@b", "c, d; e: <f@g>")]),
        ("a@b ()", [Address("a@b")]),
        (", a@b,, c@d (x),", [Address("a@b"), Address("c@d", "x")]),
        ("=?utf-8?q?C?= =?utf-8?q?D?= <a@b>", [Address("a@b", "=?utf-8?q?C?= =?utf-8?q?D?=")]),
        ("Grüße <jürgen@bücher.example> (ö)", [Address("jürgen@bücher.example", "Grüße")]),
    ],
)
def test_what_is_read(text: str, expected: list[Address]) -> None:
    found = read_address_list(text)
    assert list(found.mailboxes) == expected
    assert not found.has_groups


@pytest.mark.parametrize(
    ("text", "emails"),
    [
        ("Team: a@b, C <c@d> (x); (y), e@f", ["a@b", "c@d", "e@f"]),
        ("undisclosed-recipients:;", []),
        ('"The: team" (c) : ;', []),
    ],
)
def test_groups(text: str, emails: list[str]) -> None:
    found = read_address_list(text)
    assert [one.email for one in found.mailboxes] == emails
    assert found.has_groups


@pytest.mark.parametrize(
    "text",
    [
        *("a@b (", "a@b (c", r"a@b (c\)", "a@b (c))", "a@b) (c", "a b@c", "a@b c@d", "a@b <c@d>", "<a@b", "a@b>", "<>"),
        *(
            "<a@b> c",
            '"a',
            'a"b"@c',
            "a@b@c",
            "@b",
            "a@",
            "[1]",
            ":;",
            "a:b:c;;",
            "a: b@c",
            "a@b;",
            "a:; b@c",
            "a\\b@c",
        ),
        *("a\u00a0b@c", "Ada <a\u2003b@c>", "a: b: c@d;", "a:; (x) b:;", "< >", "A <(c)>"),
    ],
)
def test_what_is_no_list_of_addresses(text: str) -> None:
    with pytest.raises(NotAddresses):
        read_address_list(text)


@pytest.mark.parametrize("text", ["", " ", ",", "(only a comment)"])
def test_no_address(text: str) -> None:
    assert read_address_list(text).mailboxes == ()


ATOM = st.text("abcXYZ019-_+", min_size=1, max_size=6)
DOTTED = st.lists(ATOM, min_size=1, max_size=3).map(".".join)
SPACE = st.sampled_from(["", " ", "\t", "  "])
COMMENT = st.recursive(
    st.text('abc .,:;<>@"[]', max_size=6),
    lambda inner: st.lists(inner.map(lambda c: f"({c})") | ATOM | st.sampled_from([r"\(", r"\)", r"\\"])).map("".join),
).map(lambda text: f"({text})")
CFWS = st.lists(SPACE | COMMENT, max_size=3).map("".join)
QUOTED = st.lists(st.text("ab .,:;<>@()[]", min_size=1, max_size=4) | st.sampled_from([r"\"", r"\\"])).map(
    lambda parts: f'"{"".join(parts)}"'
)


@st.composite
def mailbox(draw: st.DrawFn) -> tuple[str, str]:
    """An address with comments where RFC 5322 has them, and without."""
    local = draw(DOTTED | QUOTED.filter(lambda text: text != '""'))
    domain = draw(DOTTED)
    spec = f"{draw(CFWS)}{local}{draw(CFWS)}@{draw(CFWS)}{domain}{draw(CFWS)}"
    if draw(st.booleans()):
        return spec, f"{local}@{domain}"
    words = draw(st.lists(ATOM | QUOTED, max_size=3))
    return f"{draw(CFWS)}{' '.join(words)}{draw(CFWS)}<{spec}>{draw(CFWS)}", f"{local}@{domain}"


@given(st.lists(mailbox(), min_size=1, max_size=4))
def test_addresses_are_found_among_comments(mailboxes: list[tuple[str, str]]) -> None:
    found = read_address_list(",".join(text for text, _ in mailboxes))
    assert [one.email for one in found.mailboxes] == [email for _, email in mailboxes]


@given(st.lists(mailbox(), min_size=1, max_size=3))
def test_pythons_parser_reads_the_same(mailboxes: list[tuple[str, str]]) -> None:
    text = ",".join(text for text, _ in mailboxes)
    field: Any = registry("To", text)
    assert [one.email for one in read_address_list(text).mailboxes] == [str(one.addr_spec) for one in field.addresses]


@given(DOTTED, DOTTED, st.lists(ATOM, min_size=1, max_size=3).map(" ".join), st.booleans())
def test_names_are_what_python_takes_for_them(local: str, domain: str, name: str, is_first: bool) -> None:
    email = f"{local}@{domain}"
    for text in (f"{name} <{email}>", f'"{name}" <{email}>', f"({name}) {email}" if is_first else f"{email} ({name})"):
        (found,) = read_address_list(text).mailboxes
        assert [(found.name, found.email)] == getaddresses([text])


@given(st.text('ab@<>()[]",:;\\. \t\u00e9', max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = read_address_list(text)
    except NotAddresses:
        return
    for one in found.mailboxes:
        assert one.email and (one.name is None or one.name.strip(" \t"))


@pytest.mark.parametrize("part", ["(", "a(", "a ", "a@b,", "(a)", '"', "a:", "a:;,", "<", "\\", '"a" '])
def test_a_long_text_takes_time_in_proportion(part: str) -> None:
    before = perf_counter()
    with contextlib.suppress(NotAddresses):
        read_address_list(part * (256 * 1024 // len(part)))
    assert perf_counter() - before < 5
