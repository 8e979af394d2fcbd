"""Whole messages, byte by byte, and read back.

``POSTRAY_REWRITE_GOLDEN=1 pytest tests/unit/compose/test_golden.py`` writes the files anew and fails, so that a
rewriting run never passes for a test; look at the difference before it is committed.
"""

import os
from pathlib import Path

import pytest
from msgspec import Struct

from cluster.journal.records import Address, Attachment, BodyPart, Content, Footer, PreparedPersonalization
from tests.unit.compose.reading import (
    JANE,
    Key,
    attachment,
    content,
    html,
    personalization,
    plain,
    read,
    text_of,
    verifies,
    wire,
)

GOLDEN = Path(__file__).parent / "golden"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PDF = b"%PDF-1.7\n" + b"\xe2\xe3\xcf\xd3 not quite a PDF\n" * 9
CALENDAR = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR\n"
LONG_LINE = "all work and no play " * 60


class Specimen(Struct, frozen=True):
    content: Content
    personalization: PreparedPersonalization
    texts: dict[str, str]
    """Media type → what a reader sees."""
    files: tuple[tuple[Attachment, bytes], ...] = ()


SPECIMENS = {
    "plain": Specimen(content(plain("Hello.\n"), subject="Hello"), personalization(), {"text/plain": "Hello.\n"}),
    "empty": Specimen(content(plain("")), personalization(), {"text/plain": ""}),
    "alternatives": Specimen(
        content(
            BodyPart("text/calendar", CALENDAR),
            html("<html><body><p>Grüße</p></body></html>\n"),
            BodyPart("text/x-amp-html", "<!doctype html><html ⚡4email></html>"),
            plain("Grüße"),
            subject="Grüße aus Köln",
            reply_to=(Address("desk@example.com", "Desk, first floor"), Address("office@example.com")),
            footer=Footer("-- \nExample Ltd", "<p>Example Ltd</p>"),
            headers={"X-Campaign": "spring"},
        ),
        personalization(cc=(Address("joe@example.org", 'Joe "the" O\\Neil'),), bcc=(Address("hidden@example.org"),)),
        {
            "text/plain": "Grüße\n-- \nExample Ltd",
            "text/x-amp-html": "<!doctype html><html ⚡4email></html>",
            "text/html": "<html><body><p>Grüße</p><p>Example Ltd</p></body></html>\n",
            "text/calendar": CALENDAR,
        },
    ),
    "files": Specimen(
        content(
            plain("See the logo and the report."),
            html('<img src="cid:logo">'),
            subject="Report",
            attachments=(
                attachment(PNG, "logo.png", type="image/png", inline=True, content_id="logo"),
                attachment(PDF, "Résumé 2026 ½ 日本.pdf", type="application/pdf"),
                attachment(b"", "nothing"),
            ),
        ),
        personalization(),
        {"text/plain": "See the logo and the report.", "text/html": '<img src="cid:logo">'},
        (
            (attachment(PNG, "logo.png", type="image/png", inline=True, content_id="logo"), PNG),
            (attachment(PDF, "Résumé 2026 ½ 日本.pdf", type="application/pdf"), PDF),
            (attachment(b"", "nothing"), b""),
        ),
    ),
    "international": Specimen(
        content(
            plain("日本語の本文です。\n" * 12),
            subject="🎉 " * 30 + "fin",
            from_=Address("news@bücher.example", "Bücher & Söhne"),
            headers={"X-Note": "naïve ☕", "X-Long": "word " * 40},
        ),
        personalization(
            to=(JANE, Address("jürgen@köln.example", "Jürgen"), Address("x@xn--bcher-kva.example", "a.b@c"))
        ),
        {"text/plain": "日本語の本文です。\n" * 12},
    ),
    "substituted": Specimen(
        content(
            plain("Dear -name-,\nyour code is %code%.\n"),
            html("<p>Dear -name-</p></BODY></html>"),
            subject="-name-, %code%",
            reply_to=(Address("r+%code%@example.com", "Desk of -name-"),),
            footer=Footer("-name- stays", "<i>-name- stays</i>"),
            headers={"X-A": "shared", "x-b": "shared"},
        ),
        personalization(
            substitutions={"-name-": "Zoë <b>%code%</b>", "%code%": "42"}, headers={"X-B": "own", "X-C": "-name-"}
        ),
        {
            "text/plain": "Dear Zoë <b>%code%</b>,\nyour code is 42.\n-name- stays",
            "text/html": "<p>Dear Zoë <b>%code%</b></p><i>-name- stays</i></BODY></html>",
        },
    ),
    "traps": Specimen(
        content(
            plain("trailing \t\nFrom here\n.\n..\n.dot\n--=_x\n" + LONG_LINE + "\nlone\rcr\r\nFrom " + "x" * 90),
            html(".\n"),
            subject="  \t spaces at both ends \t ",
        ),
        personalization(),
        {
            "text/plain": "trailing \t\nFrom here\n.\n..\n.dot\n--=_x\n" + LONG_LINE + "\nlone\ncr\nFrom " + "x" * 90,
            "text/html": ".\n",
        },
    ),
}


def made(specimen: Specimen) -> bytes:
    return wire(specimen.content, specimen.personalization, files={a.sha256: data for a, data in specimen.files}).data


@pytest.mark.parametrize("name", SPECIMENS)
def test_bytes(name: str) -> None:
    data, path = made(SPECIMENS[name]), GOLDEN / f"{name}.eml"
    if os.environ.get("POSTRAY_REWRITE_GOLDEN"):
        path.write_bytes(data)
        pytest.fail(f"{path.name} was rewritten")
    assert data == path.read_bytes()


def test_no_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.eml")} == set(SPECIMENS)


@pytest.mark.parametrize("name", SPECIMENS)
def test_texts_read_back(name: str) -> None:
    specimen = SPECIMENS[name]
    message = read(made(specimen))
    single = not message.is_multipart()
    for kind, text in specimen.texts.items():
        # A body ends in CRLF (RFC 5321 §4.1.1.4): a message of one part cannot lack the last line end.
        assert text_of(message, kind) == (text if text.endswith("\n") or not (single and text) else f"{text}\n")
    kinds = [part.get_content_type() for part in message.walk() if part.get_content_maintype() == "text"]
    assert kinds == list(specimen.texts)
    assert all(part.get_content_charset() == "utf-8" for part in message.walk() if part.get_content_type() in kinds)


@pytest.mark.parametrize("name", SPECIMENS)
def test_files_read_back(name: str) -> None:
    specimen = SPECIMENS[name]
    found = [part for part in read(made(specimen)).walk() if part.get_content_disposition() is not None]
    for part, (meant, data) in zip(found, specimen.files, strict=True):
        assert part.get_payload(decode=True) == data
        assert part.get_filename() == meant.filename
        assert part.get_content_type() == meant.type
        assert part.get_content_disposition() == ("inline" if meant.inline else "attachment")
        assert part["Content-ID"] == (f"<{meant.content_id}>" if meant.content_id else None)


@pytest.mark.parametrize("name", SPECIMENS)
@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_signatures_verify(name: str, kind: str, request: pytest.FixtureRequest) -> None:
    key: Key = request.getfixturevalue(kind)
    specimen = SPECIMENS[name]
    files = {a.sha256: data for a, data in specimen.files}
    data = wire(specimen.content, specimen.personalization, key.signer(*specimen.content.headers), files).data
    assert verifies(data, key.public)


def test_levels_are_only_those_needed() -> None:
    def kinds(name: str) -> list[str]:
        return [part.get_content_type() for part in read(made(SPECIMENS[name])).walk()]

    assert kinds("plain") == ["text/plain"]
    assert kinds("alternatives")[0] == "multipart/alternative"
    assert kinds("files") == [
        "multipart/mixed",
        "multipart/related",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "image/png",
        "application/pdf",
        "application/octet-stream",
    ]


def test_fields_read_back() -> None:
    message = read(made(SPECIMENS["alternatives"]))
    assert message["Subject"] == "Grüße aus Köln"
    assert [(a.addr_spec, a.display_name) for a in message["Reply-To"].addresses] == [
        ("desk@example.com", "Desk, first floor"),
        ("office@example.com", ""),
    ]
    assert message["Cc"].addresses[0].display_name == 'Joe "the" O\\Neil'
    assert [name for name, _ in message.items()] == [
        *("Date", "From", "Reply-To", "To", "Cc", "Subject", "Message-ID", "MIME-Version"),
        *("Content-Type", "Content-Transfer-Encoding", "X-Campaign"),
    ]
    message = read(made(SPECIMENS["substituted"]))
    assert message["Subject"] == "Zoë <b>%code%</b>, 42"
    assert message["Reply-To"].addresses[0].addr_spec == "r+42@example.com"
    assert message["Reply-To"].addresses[0].display_name == "Desk of Zoë <b>%code%</b>"
    assert [(name, message[name]) for name in message if name.startswith("X-")] == [
        ("X-A", "shared"),
        ("X-B", "own"),
        ("X-C", "-name-"),
    ]
