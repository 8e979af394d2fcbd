import pickle
import re
from datetime import UTC, datetime, timedelta, timezone
from email import policy
from email.header import decode_header, make_header
from email.parser import Parser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.journal.records import Address
from cluster.message import custom_fields
from cluster.message import header_fields as fields
from cluster.message.header_fields import NotComposable
from tests.unit.compose.reading import assert_sound

ENCODED_WORD = re.compile(rb"=\?utf-8\?([bq])\?([^ ?]*)\?=")


def decoded(value: bytes) -> str:
    return str(make_header(decode_header(value.replace(b"\r\n", b"").decode())))


def written(name: str, value: str) -> tuple[bytes, bytes]:
    field = custom_fields.write(name, value)
    assert field is not None
    return field


def unfolded(value: bytes) -> str:
    return value.replace(b"\r\n", b"").decode()


def assert_words_stand_alone(value: bytes) -> None:
    """Each line has at most 76 characters; each encoded word has at most 75 and no partial character (RFC 2047 §2,
    §5)."""
    for line in value.split(b"\r\n"):
        assert len(line) <= 76
        [word] = line.split()
        assert ENCODED_WORD.fullmatch(word)
        assert len(word) <= 75
        decoded(word)  # strict: raises for a partial character


def test_refusals_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(NotComposable("why")))
    assert (error.reason, error.args) == ("why", ("why",))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", b""),
        ("Hello", b"Hello"),
        ("  Hello \t", b"Hello"),
        ("a  b", b"a  b"),
        ("Grüße", b"=?utf-8?b?R3LDvMOfZQ==?="),
        ("日本語", b"=?utf-8?b?5pel5pys6Kqe?="),
        ("bell\x07", b"=?utf-8?q?bell=07?="),
        ("=?utf-8?q?spoof?=", b"=?utf-8?b?PT91dGYtOD9xP3Nwb29mPz0=?="),
    ],
)
def test_subject(text: str, value: bytes) -> None:
    assert fields.subject(text) == value


@pytest.mark.parametrize("unit", ["é", "日", "🎉", "👩‍👩‍👧‍👦", "aé", "aaaaaaaaa日"])
@pytest.mark.parametrize("shift", range(8))
def test_encoded_subjects_are_cut_between_characters(unit: str, shift: int) -> None:
    text = "x" * shift + unit * 60
    value = fields.subject(text)
    assert_words_stand_alone(value)
    assert len(b"Subject: " + value.split(b"\r\n")[0]) <= 76
    assert decoded(value) == text


@pytest.mark.parametrize("text", ["x" * 10_000, "word " * 2_000, "日" * 10_000, "x" * 2_000 + " " + "y" * 8_000])
def test_subjects_of_ten_thousand_characters(text: str) -> None:
    value = fields.subject(text)
    assert max(map(len, value.split(b"\r\n"))) <= 76
    assert decoded(value) == text.strip()


def test_shorter_of_the_two_encodings() -> None:
    assert ENCODED_WORD.match(fields.subject("mostly ASCII, é"))[1] == b"q"  # type: ignore[index]
    assert ENCODED_WORD.match(fields.subject("ééé日本"))[1] == b"b"  # type: ignore[index]


@pytest.mark.parametrize("text", ["a\rb", "a\nb", "a\r\nBcc: x@y.example", "a\0b", "\n"])
def test_line_ends_are_refused_where_nothing_is_substituted(text: str) -> None:
    for attempt in (
        lambda: custom_fields.write("X-A", text),
        lambda: custom_fields.write(f"X{text}", "value"),
        lambda: fields.addresses("To", [Address(f"{text}@example.com")]),
        lambda: fields.addresses("To", [Address(f"a@{text}")]),
        lambda: fields.message_id(f"<{text}@example.com>"),
    ):
        with pytest.raises(NotComposable):
            attempt()


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\0", "\n\r\n"])
def test_a_line_end_in_a_subject_or_a_name_is_a_space(end: str) -> None:
    assert fields.subject(f"a{end}Bcc: x") == b"a Bcc: x"
    assert fields.addresses("To", [Address("a@example.com", f"A{end}B")]) == (b"A B <a@example.com>", False)
    assert (fields.subject(end), fields.phrase(end, 4)) == (b"", [])


@pytest.mark.parametrize("name", ["", "X A", "X:A", "Ä", "X\x7f"])
def test_custom_names(name: str) -> None:
    with pytest.raises(NotComposable):
        written(name, "value")


def test_custom_values() -> None:
    assert written("X-A", " v ") == (b"X-A", b"v")
    assert written("X-A", "") == (b"X-A", b"")
    assert written("X-A", "=?utf-8?q?kept?=") == (b"X-A", b"=?utf-8?q?kept?=")
    assert decoded(written("X-A", "é" * 100)[1]) == "é" * 100
    assert_words_stand_alone(written("X-A", "é" * 100)[1])
    text = "one  two\tthree " * 20
    value = written("X-A", text)[1]
    assert max(map(len, value.split(b"\r\n"))) <= 76
    assert unfolded(value) == text.strip()


def test_custom_values_that_cannot_be_folded() -> None:
    name, value = written("X-A", "x" * 993)
    assert len(name) + 2 + len(value) == 998
    for text in ("x" * 994, "a " + "x" * 998, f"a{' ' * 1200}b"):
        with pytest.raises(NotComposable):
            written("X-A", text)
    with pytest.raises(NotComposable):
        written("X" * 901, "é")
    assert written("X" * 900, "é") == (b"X" * 900, b"=?utf-8?b?w6k=?=")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("List-Unsubscribe", "<https://example.com/ü>", b"<https://example.com/%C3%BC>"),
        ("list-help", "<https://bücher.example/a%20ü?é=1#ß>",
        b"<https://xn--bcher-kva.example/a%20%C3%BC?%C3%A9=1#%C3%9F>"), ("List-Unsubscribe",
        "<mailto:u@example.com?subject=ü>,\t<https://e.example/é>",
        b"<mailto:u@example.com?subject=%C3%BC>,\r\n\t<https://e.example/%C3%A9>"), ("List-Unsubscribe",
        "https://example.com/ü", None), ("List-Unsubscribe", "ü <https://example.com/>", None),
        ("List-Unsubscribe", f"<https://example.com/{'ü' * 200}>", None),
        ("List-Unsubscribe", f"<https://example.com/{'ü' * 20_000}>", None),
        ("Errors-To", "Zoë <z@example.com>", b"=?utf-8?q?Zo=C3=AB?= <z@example.com>"),
        ("Errors-To", "z@bücher.example, \"Ö, P\" <p@example.com>",
            b"z@xn--bcher-kva.example, =?utf-8?b?w5YsIFA=?= <p@example.com>"),
        ("Disposition-Notification-To", "zoë@example.com", None),
        ("Errors-To", "Zoë", None),
        ("In-Reply-To", "<é@example.com>", None),
        ("References", "<a@example.com> <é@example.com>", None),
        ("References", "<a@example.com> <b@example.com>", b"<a@example.com> <b@example.com>"),
        ("Auto-Submitted", "ü", None),
        ("List-Id", "Zoë's <news.example.com>", b"=?utf-8?b?Wm/Dqydz?= <news.example.com>"),
        ("List-Id", "Zoë", None),
        ("Keywords", "Zoë, plain words", b"=?utf-8?q?Zo=C3=AB?=, plain words"),
        ("Comments", "Zoë", b"=?utf-8?q?Zo=C3=AB?="),
        ("Sender", "Ann <a@example.com>", b"Ann <a@example.com>"),
        ("Sender", "a@example.com, b@example.com", None),
        ("Sender", "", None),
        ("Sender", "(" * 16_000, None),
        ("Errors-To", "é:" * 8_000, None),
        ("Keywords", "é," * 8_193, None),
        ("Message-ID", "<a@example.com>", b"<a@example.com>"),
        ("Message-ID", "a@example.com", None),
        ("Resent-Bcc", "a@example.com", None),
        ("Resent-Anything", "x", None),
    ],
)  # fmt: skip
def test_fields_with_a_syntax(name: str, text: str, value: bytes | None) -> None:
    """RFC 2047 §5 (encoded words), RFC 2369 (URLs), RFC 2919 (List-Id), RFC 5322 §3.6."""
    if value is not None:
        assert written(name, text) == (name.encode(), value)
        custom_fields.check(name, text)
        return
    for ask in (custom_fields.check, custom_fields.write):
        with pytest.raises(NotComposable):
            ask(name, text)


@pytest.mark.parametrize("name", ["Date", "RETURN-PATH", "X-SMTPAPI"])
def test_fields_that_are_ignored(name: str) -> None:
    assert custom_fields.write(name, "x" * 2000) is None


NAMES = st.sampled_from([*sorted(custom_fields.KINDS), "X-A", "x" * 900, "Resent-To"]) | st.text(max_size=8)
TEXTS = st.lists(
    st.sampled_from(["é", "日" * 30, "a", "b" * 990, " ", " " * 999, "\t", "<", ">", "@", "a@example.com", ",", '"',
        "\\", "(", ")", ";", ":", "https://ü.example/", "%", "\x07", "\n", "=?utf-8?q?", "?=", "\u2028"]), max_size=12,
).map("".join)  # fmt: skip


@given(NAMES, TEXTS)
def test_a_field_that_passes_the_check_is_written_and_no_other(name: str, text: str) -> None:
    try:
        custom_fields.check(name, text)
    except NotComposable:
        with pytest.raises(NotComposable):
            custom_fields.write(name, text)
        return
    field = custom_fields.write(name, text)
    if field is not None:
        assert_sound(b"%b: %b\r\n\r\n" % field if field[1] else b"%b:\r\n\r\n" % field[0])


@pytest.mark.parametrize(
    ("address", "value"),
    [
        (Address("a@example.com"), b"a@example.com"),
        (Address("a@example.com", ""), b"a@example.com"),
        (Address("a@example.com", "  "), b"a@example.com"),
        (Address("a@example.com", "Ann Lee"), b"Ann Lee <a@example.com>"),
        (Address("a@example.com", "Lee, Ann"), b'"Lee, Ann" <a@example.com>'),
        (Address("a@example.com", 'A "B" C\\D'), b'"A \\"B\\" C\\\\D" <a@example.com>'),
        (Address("a@example.com", "St. John"), b'"St. John" <a@example.com>'),
        (Address("a@example.com", "b@c.example <x>"), b'"b@c.example <x>" <a@example.com>'),
        (Address("a@example.com", "two  spaces"), b'"two  spaces" <a@example.com>'),
        (Address("a@example.com", "Zoë"), b"=?utf-8?q?Zo=C3=AB?= <a@example.com>"),
        (Address("a@example.com", "=?utf-8?q?x?="), b"=?utf-8?b?PT91dGYtOD9xP3g/PQ==?= <a@example.com>"),
        (Address("a@bücher.example"), b"a@xn--bcher-kva.example"),
        (Address("a@BÜCHER.example"), b"a@xn--bcher-kva.example"),
        (Address('"a b"@example.com'), b'"a b"@example.com'),
        (Address("a@[192.0.2.1]"), b"a@[192.0.2.1]"),
    ],
)
def test_mailboxes(address: Address, value: bytes) -> None:
    assert fields.addresses("To", [address]) == (value, False)


def test_smtputf8_is_needed_for_a_local_part_only() -> None:
    assert fields.addresses("To", [Address("jürgen@köln.example")]) == ("jürgen@köln.example".encode(), True)
    assert fields.addresses("To", [Address("jürgen@xn--kln-sna.example")])[0] == "jürgen@köln.example".encode()
    assert not fields.addresses("To", [Address("juergen@köln.example", "Jürgen")])[1]


_SPECS = st.sampled_from(["a@example.com", "jürgen@köln.example", '"a b"@example.com', "é@" + "x" * 250 + ".test"])


@given(st.lists(st.builds(Address, _SPECS, st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=90))))
def test_mailboxes_for_a_host_without_smtputf8(mailboxes: list[Address]) -> None:
    value, smtputf8 = fields.addresses("To", mailboxes, downgrade=True)
    assert value.isascii() and not smtputf8
    assert all(len(line) <= 998 and line.strip() for line in value.split(b"\r\n")) or not mailboxes
    if mailboxes:
        read = Parser(policy=policy.SMTP).parsestr(f"To: {value.decode()}\r\n\r\n")["To"]
        # Addresses that need it become empty groups whose names contain them. Python 3.11 keeps the spaces between
        # words.
        assert [one.addr_spec for one in read.addresses] == [one.email for one in mailboxes if one.email.isascii()]
        shown = [group.display_name for group in read.groups if not group.addresses]
        needed = [one.email for one in mailboxes if not one.email.isascii()]
        assert all(name.replace(" ", "").endswith(email) for name, email in zip(shown, needed, strict=True))


@pytest.mark.parametrize(
    "email",
    [
        *("", "a", "@example.com", "a@", "a b@example.com", "a@b c.example", "a@example.com, b@example.com"),
        *("<a@example.com>", "a@example.com>", "a(b)@example.com", "a@b@c.example", "a\u2028b@example.com"),
        *("a@-ü-.example", '"a@example.com'),
    ],
)
def test_what_is_no_address(email: str) -> None:
    with pytest.raises(NotComposable):
        fields.addresses("To", [Address(email)])


def test_long_names_are_folded() -> None:
    for name in ("name " * 400, "x" * 5_000, "ü" * 3_000):
        value, _ = fields.addresses("From", [Address("a@example.com", name)])
        assert max(map(len, (b"From: " + value).split(b"\r\n"))) <= 76
        assert decoded(value) == f"{name.strip()} <a@example.com>"


def test_a_thousand_recipients() -> None:
    people = [Address(f"person{number}@example.com", f"Person, No. {number}") for number in range(1000)]
    value, _ = fields.addresses("To", people)
    assert max(map(len, (b"To: " + value).split(b"\r\n"))) <= 76
    message = Parser(policy=policy.default).parsestr(f"To: {value.decode()}\r\n\r\n")
    assert [Address(a.addr_spec, a.display_name) for a in message["To"].addresses] == people


def test_message_id() -> None:
    assert fields.message_id("<a.b-c@example.com>") == b"<a.b-c@example.com>"
    for value in ("", "a@example.com", "<a>", "<a@b c>", "<ä@example.com>", f"<{'a' * 900}@example.com>"):
        with pytest.raises(NotComposable):
            fields.message_id(value)


def test_date() -> None:
    assert fields.date(datetime(2026, 3, 1, 9, 5, 7, 999, UTC)) == b"Sun, 01 Mar 2026 09:05:07 +0000"
    east = timezone(timedelta(hours=5, minutes=30))
    assert fields.date(datetime(2026, 1, 1, 2, 0, 0, tzinfo=east)) == b"Wed, 31 Dec 2025 20:30:00 +0000"
    with pytest.raises(ValueError, match="time zone"):
        fields.date(datetime(2026, 1, 1))
