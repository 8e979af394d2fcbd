"""How the tests make messages and read them back: with the standard library's parser and dkimpy's verifier."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from actors.compose.dkim import Signer
from actors.compose.message import WireMessage, draft_message, finish
from actors.compose.mime import compile_content
from actors.compose.templated import Version
from cluster import dkim_keys
from cluster.journal.records import Address, Attachment, BodyPart, Content, PreparedPersonalization
from cluster.templates.compiled import compile_texts
from cluster.templates.texts import TemplateTexts
from tests import dkim_verifier

DATE = datetime(2026, 3, 1, 9, 5, 7, tzinfo=UTC)
SENDER = Address("news@example.com", "Example News")
JANE = Address("jane@example.net", "Jane Doe")
MESSAGE_ID = "<msg_01@example.com>"


class Key(NamedTuple):
    """A signing key, and the value of its record."""

    pem: bytes
    public: str
    selector: str = "s1"

    def signer(self, *also_signed: str) -> Signer:
        return signer_with(self, also_signed=also_signed)


def signer_with(*keys: Key, also_signed: Iterable[str] = ()) -> Signer:
    return Signer("example.com", {key.selector: dkim_keys.load_private_key(key.pem) for key in keys}, also_signed)


def content(*texts: BodyPart, **fields: Any) -> Content:
    return Content(from_=fields.pop("from_", SENDER), parts=texts, **fields)


def personalization(**fields: Any) -> PreparedPersonalization:
    return PreparedPersonalization(to=fields.pop("to", (JANE,)), **fields)


def a_version(**texts: Any) -> Version:
    """A version of a template; the fields are those of ``TemplateTexts``."""
    return Version(compile_texts(TemplateTexts(**texts)))


def given(data: dict[str, Any], **fields: Any) -> PreparedPersonalization:
    """A message's personalization with data for a template."""
    return personalization(template_data=msgspec.json.encode(data), **fields)


def plain(value: str) -> BodyPart:
    return BodyPart("text/plain", value)


def html(value: str) -> BodyPart:
    return BodyPart("text/html", value)


def attachment(data: bytes, filename: str = "a.bin", **fields: Any) -> Attachment:
    return Attachment(filename=filename, sha256=sha256(data).digest(), size=len(data), **fields)


def wire(
    shared: Content,
    own: PreparedPersonalization | None = None,
    signer: Signer | None = None,
    files: Mapping[bytes, bytes] | None = None,
    version: Version | None = None,
) -> WireMessage:
    """The message, made as the delivery actor makes it, and proved to be sound."""
    skeleton = compile_content(shared, files or {}, version=version)
    draft = draft_message(skeleton, own or personalization(), signer, message_id=MESSAGE_ID, date=DATE, signed_at=DATE)
    [made] = finish([draft])
    assert_sound(made.data)
    return made


def sent(
    shared: Content,
    own: PreparedPersonalization | None = None,
    files: Mapping[bytes, bytes] | None = None,
    version: Version | None = None,
) -> EmailMessage:
    return read(wire(shared, own, files=files, version=version).data)


def read(data: bytes) -> EmailMessage:
    message = message_from_bytes(data, policy=policy.default)
    for part in message.walk():
        assert not part.defects
    return message


def assert_sound(data: bytes) -> None:
    """Checks that hold for every message, whatever its content."""
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", data)
    header, separator, body = data.partition(b"\r\n\r\n")
    assert separator
    assert body.isascii()
    assert not body or body.endswith(b"\r\n")
    lines = data.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert not any(line.startswith(b"From ") or line == b"." for line in body.split(b"\r\n"))
    for line in header.split(b"\r\n"):
        assert line == line.rstrip(), "white space at the end of a header line"
        assert re.match(rb"[!-9;-~]+:(?: |$)|[ \t]+[^ \t]", line), line
    assert not re.search(rb"[ \t]\r\n", body)
    assert b"bcc:" not in header.lower()


def header_lines(data: bytes, name: str) -> list[bytes]:
    """The lines of a field as they are on the wire."""
    header = data.partition(b"\r\n\r\n")[0]
    field = re.search(rb"(?:^|\r\n)(" + name.encode() + rb":(?:[^\r]|\r\n[ \t])*)", header)
    assert field, f"no {name}"
    return field[1].split(b"\r\n")


def text_of(message: EmailMessage, kind: str) -> str:
    """The text of the part of this type, line ends as ``\\n``."""
    [part] = [part for part in message.walk() if part.get_content_type() == kind]
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode("utf-8").replace("\r\n", "\n")


def verifies(data: bytes, public: str) -> bool:
    """dkimpy's judgement of the one signature."""
    [verdict] = verdicts(data, Key(b"", public), Key(b"", public, "e1"))
    return verdict


def verdicts(data: bytes, *published: Key) -> list[bool]:
    """dkimpy's judgement of each signature, in their order, where these keys are published."""
    records = {
        dkim_keys.record_name("example.com", key.selector): dkim_keys.record_text(key.public) for key in published
    }
    return dkim_verifier.verdicts(data, records)
