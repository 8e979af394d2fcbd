"""What a request asks for is bounded before it is composed, and the computed size is the composed size."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.compose.message import draft_message, finish
from actors.compose.mime import compile_content
from api.http.refusals import Fault
from api.messages.views import detail
from api.send import sizes
from api.send.conversion import new_request
from api.send.request import MailSend
from api.send.validation import check
from cluster.journal.records import MessageRow, decode_content, decode_personalization
from cluster.message.header_fields import NotComposable
from cluster.message.substitution import effort_s
from cluster.policy.lifecycle import Status
from cluster.settings import MessageSettings
from tests.unit.api.bodies import attachment, mail, to
from tests.unit.api.conftest import World

NOW = datetime(2026, 4, 23, 10, tzinfo=UTC)
MB = 1024 * 1024


def faults(body: dict[str, Any], limits: MessageSettings | None = None) -> list[Fault]:
    return check(msgspec.convert(body, MailSend), limits or MessageSettings()).faults


def substituting(values: dict[str, str], **changes: Any) -> dict[str, Any]:
    return mail(personalizations=[to("ada@example.com"), to("bob@example.com", substitutions=values)], **changes)


def text(value: str) -> list[dict[str, str]]:
    return [{"type": "text/html", "value": value}]


IN_VALUES = "personalizations[1].substitutions"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (substituting({"a": "b" * 9_990}, content=text("a" * 30_000)), IN_VALUES),
        (substituting({"a": "b" * 9_990}, content=text("a" * 150_000)), IN_VALUES),
        (substituting({"a": "é" * 4_990}, content=text("é" + "a" * 3_000)), IN_VALUES),
        (substituting({"a": "b" * 9_990}, subject="a" * 900), IN_VALUES),
        (substituting({"a": "b" * 9_990}, subject="a" * 150_000), "subject"),
        (substituting({"e": "é" * 499}, subject="Hello, e"), IN_VALUES),
        (mail(subject="é" * 500), "subject"),
        (mail(personalizations=[to("ada@example.com", subject="é" * 500)]), "personalizations[0].subject"),
        (mail(content=text("a\n" * 7 * MB)), "content[0].value"),
        (mail(content=text("é\n" * 4 * MB)), "content[0].value"),
        (mail(headers={"X-A": "é " * 6 * MB}), "headers"),
        (mail(content=text("a" * 15 * MB), attachments=[attachment(content="AAAA" * 2 * MB)]), "content"),
        (mail(content=text("x"), attachments=[attachment(content="AAAA" * 2_600_000)] * 2), "attachments"),
        (mail(personalizations=[to("a@example.com", headers={"X-A": "é " * 6 * MB})]), "personalizations[0]"),
        (mail(personalizations=[{"to": [{"email": "a@b.cc", "name": "é" * 7 * MB}]}]), "personalizations[0]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_become_too_large_is_refused_with_its_field(body: dict[str, Any], field: str) -> None:
    assert [fault.field for fault in faults(body)] == [field]


@pytest.mark.parametrize(
    "body",
    [
        substituting({"a": "b" * 9_990}, content=text("c" * 150_000)),
        substituting({"a": "b" * 9_990}, content=text("xyza" * 500 + "c" * 150_000)),
        substituting({"-name-": "Ada" * 100}, content=text("Hello, -name-! " * 10_000)),
        substituting({"a": "b" * 990}, subject="Hello, a"),
        substituting({"a": "b" * 9_990}, subject="Hello"),
        mail(subject="é" * 499),
        mail(content=text("a" * 70 + "\n" + ("a" * 900 + "\n") * 20_000)),
        mail(content=text("a" * 19 * MB)),
        mail(content=text("x"), attachments=[attachment(content="AAAA" * 4 * MB)]),
    ],
    ids=lambda body: "",
)
def test_what_fits_is_taken(body: dict[str, Any]) -> None:
    assert not faults(body)


def test_limits_are_settings() -> None:
    limits = MessageSettings(max_subject_bytes=20, max_part_bytes=1_000, max_bytes=30_000)
    assert [fault.field for fault in faults(mail(subject="x" * 21), limits)] == ["subject"]
    assert [fault.field for fault in faults(mail(content=text("x" * 1_200)), limits)] == ["content[0].value"]
    assert not faults(mail(content=text("xx\n" * 240)), limits)
    assert [fault.field for fault in faults(substituting({"-x-": "y" * 600}, content=text("-x--x-")), limits)] == [
        IN_VALUES
    ]
    assert faults(mail(attachments=[attachment(content="AAAA" * 8_000)]), limits)[0].field == "attachments[0]"


def test_many_sets_of_keys_in_a_long_text_are_looked_for_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    each = effort_s(("x1",), 100_000)
    monkeypatch.setattr(sizes, "MOST_S", 2.5 * each)
    people = [to("a@example.com", substitutions={f"x{number}": "y" * 9_000}) for number in range(10)]
    found = faults(mail(personalizations=people, content=text("b" * 100_000)))
    assert [fault.field for fault in found] == [f"personalizations[{number}].substitutions" for number in range(3, 10)]


def test_long_keys_are_not_looked_for_in_texts_that_would_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "MOST_S", 0.1)
    body = substituting({"a": "", "a" * 70 + "b": "y" * 9_000}, content=text("b" * 100_000))
    assert [fault.field for fault in faults(body)] == [IN_VALUES]
    assert not faults(substituting({"a": "", "a" * 70 + "b": "y" * 9_000}, content=text("b" * 1_000)))


def composed_sizes(body: dict[str, Any], limits: MessageSettings) -> list[int | None]:
    """Octets of each message, or None for one that cannot be composed."""
    request = convert(body)
    skeleton = compile_content(decode_content(request.content), request.attachments, limits)
    made: list[int | None] = []
    for message in request.messages:
        own = decode_personalization(message.personalization)
        try:
            draft = draft_message(skeleton, own, None, message_id="<a@b.example>", date=NOW, signed_at=NOW)
        except NotComposable:
            made.append(None)
        else:
            [wire] = finish([draft])
            made.append(len(wire.data))
    return made


def convert(body: dict[str, Any]) -> Any:
    sent = msgspec.convert(body, MailSend)
    files = check(sent, MessageSettings(max_part_bytes=2**40, max_bytes=2**40)).files
    return new_request(sent, files, tenant_id="ten_1", sandbox=False, now=NOW, lifetime=timedelta(days=1))


PIECES = ["word ", "-a-", "-b-", "\n", "é", "日本", "=", "x" * 76, "</body>", "\r\n", "."]
TEXTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=40).map("".join)


@given(
    TEXTS,
    TEXTS,
    st.text("aé日= \n", max_size=600),
    st.integers(1, 40),
    st.integers(0, 3_000),
    st.booleans(),
)
def test_the_size_that_is_reckoned_is_that_which_is_composed(
    plain: str, html: str, value: str, repeated: int, file: int, has_footer: bool
) -> None:
    """A limit just below the composed size refuses the request; a limit somewhat above accepts it."""
    body = substituting(
        {"-a-": value, "-b-": "plain"},
        content=[{"type": "text/plain", "value": plain * repeated}, {"type": "text/html", "value": html * repeated}],
        attachments=[attachment(content="AAAA" * max(file, 1))],
        mail_settings={"footer": {"enable": has_footer, "text": "Bye, é", "html": "<p>Bye, é</p>"}},
    )
    unlimited = MessageSettings(max_part_bytes=2**40, max_bytes=2**40)
    largest = max(size for size in composed_sizes(body, unlimited) if size is not None)
    assert faults(body, MessageSettings(max_part_bytes=2**40, max_bytes=largest - 1))
    room = largest + largest // 50 + 20_000  # what a frame, a file's name and a footer may take at most
    assert not faults(body, MessageSettings(max_part_bytes=2**40, max_bytes=room))


def stored(body: dict[str, Any]) -> MessageRow:
    """A request's last message, as an older version took it."""
    request = convert(body)
    return MessageRow(
        id="msg_1", tenant_id="ten_1", request_id="req_1", batch_id=None, created_at=NOW, send_at=None,
        subject=request.messages[-1].subject, content=request.content,
        personalization=request.messages[-1].personalization, status=Status.QUEUED,
        retry_count=0, next_retry_at=None, finished_at=None, error_message=None,
    )  # fmt: skip


def test_a_stored_message_that_would_be_too_large_is_not_composed() -> None:
    body = substituting({"a": "b" * 9_990}, content=text("a" * 30_000))
    assert composed_sizes(body, MessageSettings())[1] is None
    body = substituting({"a": "b" * 990}, subject="aa", content=text("x"))
    assert composed_sizes(body, MessageSettings())[1] is None


def test_a_message_that_would_be_too_large_is_shown_as_it_was_given() -> None:
    row = stored(substituting({"a": "b" * 9_990}, content=text("a" * 30_000), subject="ab"))
    shown = detail(row, None)
    assert shown.html_content == "a" * 30_000
    assert shown.subject == "ab"
    assert shown.not_filled_in == ["subject", "html_content"]
    shown = detail(stored(substituting({"-a-": "b"}, content=text("-a-"))), None)
    assert shown.html_content == "b"
    assert shown.not_filled_in is msgspec.UNSET


async def test_the_attack_is_answered_with_its_fields(world: World) -> None:
    body = substituting({"a": "b" * 9_990}, content=text("a" * 150_000), subject="a")
    answer = await world.send(body)
    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == {IN_VALUES}
    assert not world.journal.requests
