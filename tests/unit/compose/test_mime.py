from typing import Any

import pytest

from actors.compose import dkim
from actors.compose.mime import compile_content
from actors.compose.skeleton import Composed, Skeleton
from cluster.journal.records import Address, PreparedPersonalization
from cluster.message.header_fields import NotComposable
from tests.unit.compose.reading import DATE, JANE, MESSAGE_ID, attachment, content, html, personalization, plain, sent


def composed(skeleton: Skeleton, own: PreparedPersonalization | None = None) -> Composed:
    return skeleton.compose(own or personalization(), message_id=MESSAGE_ID, date=DATE)


def test_a_body_that_messages_share_is_made_and_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    skeleton = compile_content(content(plain("x"), html("y"), subject="-n-"), {})
    bodies = [composed(skeleton, personalization(substitutions={"-n-": str(number)})).body for number in range(3)]
    assert all(body is bodies[0] for body in bodies)
    hashed: list[bytes] = []
    real = dkim.body_hash

    def counting(body: bytes, relaxed: bytes | None = None) -> bytes:
        hashed.append(body)
        return real(body, relaxed)

    monkeypatch.setattr(dkim, "body_hash", counting)
    assert {skeleton.body_hash(body) for body in bodies} == {real(bodies[0])}
    assert skeleton.body_hash(b"own\r\n") == real(b"own\r\n")
    assert hashed == [bodies[0], b"own\r\n"]


def test_boundaries_follow_the_content() -> None:
    def boundary(text: str) -> bytes:
        skeleton = compile_content(content(plain(text), html("y")), {})
        return dict(composed(skeleton).header_fields)[b"Content-Type"]

    assert boundary("x") == boundary("x")
    assert boundary("x") != boundary("z")


def test_blind_copies_are_never_shown() -> None:
    own = personalization(bcc=(Address("hidden@example.org", "Hidden"), Address("hídden@example.org")))
    made = composed(compile_content(content(plain("x")), {}), own)
    assert not any(name.lower() == b"bcc" or b"idden" in value for name, value in made.header_fields)
    assert not made.smtputf8


@pytest.mark.parametrize("field", ["from_", "reply_to", "to", "cc"])
def test_smtputf8_for_each_address_field(field: str) -> None:
    international = Address("jürgen@example.com")
    value: Any = international if field == "from_" else (international,)
    in_personal = field in ("to", "cc", "from_")
    shared = content(plain("x")) if in_personal else content(plain("x"), **{field: value})
    own = personalization(**{field: value}) if in_personal else personalization()
    assert composed(compile_content(shared, {}), own).smtputf8
    assert not composed(compile_content(content(plain("x")), {})).smtputf8


@pytest.mark.parametrize(
    "name", ["Bcc", "bcc", "FROM", "Content-Type", "DKIM-Signature", "Received", "Resent-Bcc", "Resent-To"]
)
def test_fields_that_nobody_may_set(name: str) -> None:
    skeleton = compile_content(content(plain("x")), {})
    with pytest.raises(NotComposable):
        composed(skeleton, personalization(headers={name: "x"}))
    with pytest.raises(NotComposable):
        composed(compile_content(content(plain("x"), headers={name: "x"}), {}))


@pytest.mark.parametrize(
    "fault",
    [
        {"from_": Address("a@example.com>\r\nX: y")},
        {"headers": {"X-A": "x\ny"}},
        {"headers": {"X A": "y"}},
        {"substitutions": {"-r-": "a@b, c"}},
        {"substitutions": {"-t-": "\ud800"}},
        {"subject": "\udfff"},
    ],
)
def test_a_fault_fails_its_own_message_only(fault: dict[str, Any]) -> None:
    skeleton = compile_content(content(plain("-t-"), subject="-s-", reply_to=(Address("-r-@example.com"),)), {})
    good = composed(skeleton)
    with pytest.raises(NotComposable):
        composed(skeleton, personalization(**fault))
    assert composed(skeleton) == good


@pytest.mark.parametrize(
    "broken",
    [
        Address("a@example.com>\r\nX: y", "Name"),
        Address("not an address"),
        Address(f"{'x' * 1000}@example.com"),
        Address("\ud800@example.com"),
    ],
)
def test_a_recipient_that_cannot_be_written_is_left_out(broken: Address) -> None:
    skeleton = compile_content(content(plain("x")), {})
    assert composed(skeleton, personalization(to=(broken, JANE))) == composed(skeleton)
    assert composed(skeleton, personalization(cc=(broken,))) == composed(skeleton)
    others = (JANE, Address("é@example.com"))
    made = composed(skeleton, personalization(to=(JANE, broken), cc=(*others, broken)))
    assert made == composed(skeleton, personalization(cc=others))
    assert made.downgraded is not None


def test_a_name_that_cannot_be_written_is_left_out() -> None:
    skeleton = compile_content(content(plain("x")), {})
    named = composed(skeleton, personalization(to=(Address("jane@example.net", "\ud800"),)))
    assert named == composed(skeleton, personalization(to=(Address("jane@example.net"),)))


def test_a_shared_fault_fails_no_message_that_does_not_use_it() -> None:
    skeleton = compile_content(content(plain("x"), from_=Address("none")), {})
    with pytest.raises(NotComposable):
        composed(skeleton)
    assert composed(skeleton, personalization(subject="good", from_=JANE)).body == b"x\r\n"


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(NotComposable):
        compile_content(content(plain("x"), attachments=(attachment(b"data"),)), {})


def test_half_a_surrogate_pair_anywhere_in_the_content() -> None:
    with pytest.raises(NotComposable):
        compile_content(content(plain("\ud800")), {})


def test_files_beside_one_text() -> None:
    inline = attachment(b"i", "i.png", type="image/png", inline=True, content_id="i")
    attached = attachment(b"a", "a.txt", type="text/plain")
    files = {inline.sha256: b"i", attached.sha256: b"a"}
    message = sent(content(html("x"), attachments=(attached, inline)), files=files)
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/related",
        "text/html",
        "image/png",
        "text/plain",
    ]
    related = next(part for part in message.walk() if part.get_content_subtype() == "related")
    assert related.get_param("type") == "text/html"
    assert len({part.get_boundary() for part in message.walk() if part.is_multipart()}) == 2
