"""The header fields of tracked mail."""

from email import policy
from email.parser import BytesParser
from typing import Any

import pytest
from msgspec.structs import replace

from actors.compose.message import draft_message, finish
from actors.compose.mime import compile_content
from actors.compose.tracking.fields import UnsubscribeFields, feedback_id
from actors.compose.tracking.recipient import TokensOfRecipients
from actors.compose.transform import Addressee, SharedBy, Text
from cluster.ids import new_id
from cluster.message.return_address import Purpose, read_return_address
from cluster.tracking.choices import Tracking
from cluster.tracking.tokens import Kind, Preferences, TokenKey, read
from tests.unit.compose.reading import DATE, Key, content, personalization, verifies

KEY = TokenKey(3, b"k" * 32)
ADA = Addressee(new_id("msg_"), 1, "ada@example.net")
BASE = "https://links.example.com"


class Unsubscribing:
    """Leaves texts as they are, and names the recipient in header fields."""

    scope = SharedBy.RECIPIENT

    def __init__(self, **choices: Any) -> None:
        tracking = Tracking(base_url=BASE, tenant_number=9, **choices)
        self.fields = UnsubscribeFields(tracking, TokensOfRecipients(KEY, 9)).of

    def change(self, text: Text) -> Text:
        return text


def sent(key: Key | None = None, feedback: bytes = b"b:t:d", mail_host: str = "", **own: Any) -> bytes:
    skeleton = compile_content(content(), {}, transform=Unsubscribing(group_id=5, shown_groups=(5, 8)))
    draft = draft_message(
        skeleton,
        personalization(**own),
        key.signer() if key else None,
        message_id="<a@example.com>",
        date=DATE,
        signed_at=DATE,
        addressee=replace(ADA, mail_host=mail_host),
        feedback_id=feedback,
    )
    return next(finish([draft])).data


def header(data: bytes) -> Any:
    return BytesParser(policy=policy.SMTP).parsebytes(data)


def test_a_copy_can_be_unsubscribed_from_with_one_click() -> None:
    found = header(sent())
    url = found["List-Unsubscribe"].strip("<>")
    assert found["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"  # RFC 8058 §3.1
    beginning, _, token = url.rpartition("/")
    named = read(token, Kind.UNSUBSCRIBE, {KEY.id: KEY.key})
    assert beginning == f"{BASE}/t/u" and named is not None
    assert named.preferences == Preferences(5, (5, 8))
    assert (named.recipient.email, named.recipient.recipient_no) == (ADA.email, 1)
    assert (named.recipient.message_id, named.recipient.tenant_number) == (ADA.message_id, 9)


def test_a_copy_can_be_unsubscribed_from_by_mail_where_mail_comes_in(rsa: Key) -> None:
    data = sent(rsa, mail_host="bounces.example.com")
    https, mailto = header(data)["List-Unsubscribe"].split(", ")
    assert https.startswith(f"<{BASE}/t/u/") and mailto.endswith("?subject=unsubscribe>")
    named = read_return_address(mailto.removeprefix("<mailto:").partition("?")[0], {KEY.id: KEY.key})
    assert named is not None and named.purpose is Purpose.UNSUBSCRIBING
    assert (named.message_id, named.recipient_no, named.tenant_number) == (ADA.message_id, 1, 9)
    assert b">,\r\n <mailto:" in data and max(map(len, data.split(b"\r\n"))) <= 998  # RFC 5322 §2.1.1
    assert verifies(data, rsa.public)
    assert "mailto" not in header(sent())["List-Unsubscribe"]


@pytest.mark.parametrize("name", ["List-Unsubscribe", "list-unsubscribe-post", "LIST-UNSUBSCRIBE"])
def test_the_senders_own_field_stands_alone(name: str) -> None:
    found = header(sent(headers={name: "<https://own.example/u>"}))
    assert found.get_all(name) == ["<https://own.example/u>"]
    assert len(found.get_all("List-Unsubscribe", []) + found.get_all("List-Unsubscribe-Post", [])) == 1


def test_the_senders_own_feedback_id_stands_alone() -> None:
    assert header(sent())["Feedback-ID"] == "b:t:d"
    assert header(sent(headers={"feedback-id": "a:b:c:own"})).get_all("Feedback-ID") == ["a:b:c:own"]
    assert "Feedback-ID" not in header(sent(feedback=b""))


def test_the_fields_are_signed(rsa: Key) -> None:
    data = sent(rsa)
    signed = str(header(data)["DKIM-Signature"]).replace(" ", "")
    names = signed.partition("h=")[2].partition(";")[0].split(":")
    assert {"list-unsubscribe", "list-unsubscribe-post", "feedback-id"} <= set(names)
    assert verifies(data, rsa.public)


def test_feedback_id_has_three_parts_of_plain_characters() -> None:
    assert feedback_id("Spring: sale, 2026 ☀", "tnt_1", "example.com") == b"Spring_sale_2026_:tnt_1:example.com"
    assert feedback_id("", "tnt_1", "example.com") == b"none:tnt_1:example.com"
    assert len(feedback_id("a" * 500, "tnt_1", "example.com")) < 100
