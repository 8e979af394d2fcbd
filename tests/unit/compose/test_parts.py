import base64
import quopri
import random
import re
from email.message import EmailMessage

import pytest

from actors.compose import parts
from cluster.message.header_fields import NotComposable
from cluster.message.transfer_encoding import SLICE, base64_lines, quoted_printable
from tests.unit.compose.reading import attachment, content, html, personalization, plain, sent, text_of, wire


def encoding(text: str) -> bytes:
    return parts.text("text/plain", text).encoding


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("", b"7bit"),
        ("Hello\nworld", b"7bit"),
        ("x" * 998, b"7bit"),
        ("x" * 999, b"quoted-printable"),
        ("trailing \n", b"quoted-printable"),
        ("trailing\t", b"quoted-printable"),
        ("a\n.\nb", b"quoted-printable"),
        (".", b"quoted-printable"),
        ("..", b"7bit"),
        ("From me", b"quoted-printable"),
        ("a\n--=_boundary", b"quoted-printable"),
        ("nul\0", b"quoted-printable"),
        ("mostly ASCII, é", b"quoted-printable"),
        ("日本語" * 9, b"base64"),
    ],
)
def test_encoding_is_chosen_by_content(text: str, chosen: bytes) -> None:
    assert encoding(text) == chosen


@pytest.mark.parametrize(
    "text",
    [
        *("x" * 5_000, "é" * 5_000, "日" * 5_000, "a \n" * 500, ".\n" * 500, "From \n" * 100),
        *(
            "a" * 75 + ".\nb",
            "a" * 75 + "From x",
            "a" * 72 + "é.",
            "lone\rcr\r\r\n\n\r",
            "\n" * 50,
            " ",
            "=" * 200,
            "\0\x01\x1b",
        ),
    ],
)
def test_hostile_texts_arrive_whole(text: str) -> None:
    message = sent(content(plain(text), html(text)))
    meant = text.replace("\r\n", "\n").replace("\r", "\n")
    assert text_of(message, "text/plain") == meant
    assert text_of(message, "text/html") == meant


def test_random_texts_arrive_whole_on_short_lines() -> None:
    chance = random.Random(20260301)
    pieces = ["a", "word ", " ", "\t", "\n", ".", "From ", "=", "é", "日", "🎉", "\r\n", "--=_", "x" * 70]
    for _ in range(300):
        text = "".join(chance.choices(pieces, k=chance.randrange(120)))
        data = text.replace("\r\n", "\n").replace("\n", "\r\n").encode()
        lines = quoted_printable(data.decode().replace("\r\n", "\n")).split(b"\r\n")
        assert max(map(len, lines)) <= 76
        assert not any(line.startswith(b"From ") or line == b"." or line[-1:] in (b" ", b"\t") for line in lines)
        message = sent(content(plain(text), html("-")))
        assert text_of(message, "text/plain").encode() == data.replace(b"\r\n", b"\n")


def test_forms_hold_any_literals_and_values_on_short_lines() -> None:
    chance = random.Random(20261121)
    pieces = ["a", "word ", " ", "\t", "\n", ".", "From ", "=", "é", "--=_", "x" * 70, "x" * 75, "y" * 76, ""]
    formed = 0
    for _ in range(500):
        keys = chance.choices(["one", "two"], k=chance.randrange(1, 6))
        literals = ["".join(chance.choices(pieces, k=chance.randrange(6))) for _ in range(len(keys) + 1)]
        values = {key: "".join(chance.choices(pieces, k=chance.randrange(6))) for key in ("one", "two")}
        form = parts.text_form("text/plain", literals, keys)
        if form is None or (entity := form.fill(values)) is None or entity.encoding == b"7bit":
            continue
        formed += 1
        meant = literals[0] + "".join(values[key] + literal for key, literal in zip(keys, literals[1:], strict=True))
        assert quopri.decodestring(entity.content).replace(b"\r\n", b"\n").decode() == meant
        lines = entity.content.split(b"\r\n")
        assert max(map(len, lines)) <= 76
        assert not any(line.startswith(b"From ") or line == b"." or line[-1:] in (b" ", b"\t") for line in lines)
        assert b"=_" not in entity.content
    assert formed > 200


@pytest.mark.parametrize("media_type", ["text/plain", "text/calendar"])
def test_texts_whose_values_may_decide_more_than_their_holes_have_no_form(media_type: str) -> None:
    for literals in (["Dear ", ", hello"], ["Dear ", " é"]):
        assert (parts.text_form(media_type, literals, ["-name-"]) is None) == (media_type == "text/calendar")
    assert parts.text_form(media_type, ["日本語" * 9, ""], ["-name-"]) is None


@pytest.mark.parametrize("value", ["a  b\x1fc", "a\x1fb  c\x1fd", "\x1f", "a\x1f b", "One  two\x1f\nThree\n"])
def test_a_value_may_have_the_character_that_separates_values_here(value: str) -> None:
    for text in ("Dear -n-,\n", "-n-\n", "é -n-\n"):
        message = sent(content(plain(text), html(text)), personalization(substitutions={"-n-": value}))
        assert text_of(message, "text/plain") == text_of(message, "text/html") == text.replace("-n-", value)


def test_no_part_can_contain_a_boundary() -> None:
    """This includes a boundary that a sender read in a message of the same content."""
    shared = content(plain("-t-"), html("-t-"))
    data = wire(shared, personalization(substitutions={"-t-": "x"})).data
    [boundary] = re.findall(rb'boundary="([^"]+)"', data)
    text = f"x\n--{boundary.decode()}\n\nforged\n--{boundary.decode()}--\n"
    message = sent(shared, personalization(substitutions={"-t-": text}))
    assert text_of(message, "text/plain") == text
    assert [part.get_content_type() for part in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]


@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, 5_000])
def test_base64_lines(size: int) -> None:
    data = random.Random(size).randbytes(size)
    encoded = base64_lines(data)
    *full, last = encoded.split(b"\r\n")
    assert all(len(line) == 76 for line in full)
    assert len(last) <= 76
    assert base64.b64decode(encoded.replace(b"\r\n", b""), validate=True) == data
    assert parts.file(attachment(data), data, "=_x").content == encoded


@pytest.mark.parametrize(
    "name",
    [
        *("a.pdf", 'quo"te\\back.pdf', "semi;colon, comma.pdf", "Résumé.pdf", "日本語の文書.pdf", "🎉" * 60 + ".pdf"),
        *("x" * 251 + ".pdf", "percent%41.pdf", "it's.pdf", "é" * 255, "tab\tbell\x07é.txt"),
    ],
)
def test_filenames_read_back(name: str) -> None:
    message = sent(content(plain("x"), attachments=(file := attachment(b"data", name),)), files={file.sha256: b"data"})
    [part] = message.iter_attachments()
    assert part.get_filename() == name
    assert max(map(len, part.as_bytes().split(b"\n")[1:3])) <= 230


def test_fallback_filename_is_the_nearest_ascii() -> None:
    further = parts.file(attachment(b"", "Résumé½日本.pdf"), b"", "=_x").further
    assert b'filename="Resume1_2__.pdf"' in further
    assert further.index(b"filename*=utf-8''") < further.index(b"filename=")


@pytest.mark.parametrize("name", ["a\rb", "a\nb.txt", "a\r\nX: y", "a\0"])
def test_filenames_with_line_ends(name: str) -> None:
    with pytest.raises(NotComposable):
        parts.file(attachment(b"", name), b"", "=_x")


@pytest.mark.parametrize("identifier", ["a\r\nX: y", "a\nb", "a\0", "a>b", "é", "<>"])
def test_content_ids_that_are_none(identifier: str) -> None:
    with pytest.raises(NotComposable):
        parts.file(attachment(b"", inline=True, content_id=identifier), b"", "=_x")


@pytest.mark.parametrize(
    "value", ["", "text", "text/", "/plain", "text/pl ain", "text/plain\r\nX: y", "text/plain; x", "é/x"]
)
def test_media_types_that_are_none(value: str) -> None:
    with pytest.raises(NotComposable):
        parts.text(value, "x")
    with pytest.raises(NotComposable):
        parts.file(attachment(b"", type=value), b"", "=_x")


def test_media_types() -> None:
    assert parts.text("TEXT/HTML; charset=latin-1", "x").type == b"text/html; charset=utf-8"
    assert parts.text("text/plain; format=flowed", "x").type == b"text/plain; format=flowed; charset=utf-8"
    assert parts.text("text/calendar", "A\nMETHOD:cancel\n").type == b"text/calendar; method=CANCEL; charset=utf-8"
    assert parts.text("text/calendar; method=REPLY", "METHOD:REQUEST").type.count(b"method") == 1
    assert (
        parts.file(attachment(b"", type='text/csv; charset="utf-8"'), b"", "=_x").type == b'text/csv; charset="utf-8"'
    )


def test_an_attached_message_that_cannot_go_as_it_is_is_a_file() -> None:
    """RFC 2046 §5.2.1 forbids base64 for message/rfc822, and lines of 8 bits are not sent."""
    for data in (
        b"Subject: \xc3\xbc\r\n\r\n",
        b"a: b\n\n" + b"x" * 999,
        b"a: b\n\nFrom here\n",
        b"a: b\n\n.\n",
        b"=_x",
        b"\n" * 99,
    ):
        made = parts.file(attachment(data, "a.eml", type="message/rfc822"), data, "=_x")
        assert (made.type, made.encoding) == (b"application/octet-stream", b"base64")
    assert parts.file(attachment(b"", type="multipart/mixed"), b"x", "=_x").type == b"application/octet-stream"
    assert parts.file(attachment(b"", type="message/rfc822"), b"", "=_x").type == b"application/octet-stream"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_an_attached_message_goes_as_it_is(end: str) -> None:
    data = end.join(
        ("From: a@example.com", "Content-Type: multipart/mixed; boundary=b", "", "--b", "", "Hi", "--b--")
    ).encode()
    made = parts.file(attachment(data, "a.eml", type="message/rfc822"), data, "=_x")
    assert (made.type, made.encoding) == (b"message/rfc822", b"7bit")
    assert made.content == data.replace(end.encode(), b"\r\n") + b"\r\n"
    attached = attachment(data, "a.eml", type="message/rfc822")
    message = sent(content(plain("x"), attachments=(attached,)), files={attached.sha256: data})
    [inner] = [part for part in message.walk() if part.get_content_type() == "message/rfc822"]
    attached_message = inner.get_payload(0)
    assert isinstance(attached_message, EmailMessage)
    assert attached_message["From"] == "a@example.com"


@pytest.mark.parametrize(
    ("given", "value", "made"),
    [
        ("text/calendar", b"A:B\r\nMETHOD:request\r\n", b"text/calendar; method=REQUEST; charset=utf-8"),
        ("text/calendar; charset=utf-8", b"METHOD:X-OWN\n", b"text/calendar; charset=utf-8; method=X-OWN"),
        ("text/calendar; method=CANCEL", b"METHOD:REQUEST\n", b"text/calendar; method=CANCEL; charset=utf-8"),
        ("text/calendar", b"BEGIN:VCALENDAR\n", b"text/calendar; charset=utf-8"),
        ("text/plain", b"METHOD:REQUEST\n", b"text/plain; charset=utf-8"),
    ],
)
def test_the_type_of_an_attached_calendar_names_its_method(given: str, value: bytes, made: bytes) -> None:
    """RFC 6047 §2.4."""
    assert parts.file(attachment(value, "a.ics", type=given), value, "=_x").type == made


def test_an_attached_text_names_its_charset() -> None:
    def made(data: bytes, type_: str = "text/csv") -> tuple[str, bytes]:
        attached = attachment(data, "a.csv", type=type_)
        message = sent(content(plain("x"), attachments=(attached,)), files={attached.sha256: data})
        [part] = message.iter_attachments()
        assert part.get_payload(decode=True) == data
        return part.get_content_charset() or "", data

    text = "Zürich;€\r\n" * 9000
    for whole in (b"", b"plain", text.encode(), b"\xef\xbb\xbf" + text.encode(), b"x" * (SLICE - 1) + "é".encode()):
        assert made(whole)[0] == "utf-8"
    for other in ("Zürich".encode("latin-1"), "é".encode()[:1], b"x" * SLICE + b"\xff"):
        assert made(other)[0] == "iso-8859-1"
    assert made(text.encode("utf-16"))[0] == "utf-16"
    assert made("Zürich".encode("latin-1"), 'text/csv; header=present; charset="Windows-1252"')[0] == "windows-1252"
    assert made(b"%PDF", "application/pdf")[0] == ""


def test_a_name_that_looks_like_an_encoded_word_reads_as_written() -> None:
    name = "=?utf-8?b?YQ==?=.txt"
    further = parts.file(attachment(b"", name), b"", "=_x").further
    assert b"=?" not in further
    assert b"filename*=utf-8''%3D%3Futf-8%3Fb%3FYQ%3D%3D%3F%3D.txt" in further
