import random
import re
from base64 import b64encode
from collections import Counter
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from dkim.canonicalization import Relaxed

from actors.compose import dkim
from cluster import dkim_keys
from cluster.message.header_fields import NotComposable
from tests.growth import assert_quicker
from tests.unit.compose.reading import (
    Key,
    content,
    header_lines,
    html,
    personalization,
    plain,
    signer_with,
    verdicts,
    verifies,
    wire,
)

SHARED = content(
    plain("Hello  \tthere \n\n\n"),
    html("<p>Hello</p>"),
    subject="spaces   and\ttabs, long enough to be folded " * 3,
    headers={"List-Unsubscribe": "<https://example.com/u>", "List-Unsubscribe-Post": "x", "X-Own": "1", "X-Empty": ""},
)


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_any_change_of_what_is_signed_shows(kind: str, request: pytest.FixtureRequest) -> None:
    key: Key = request.getfixturevalue(kind)
    data = wire(SHARED, None, key.signer("X-Own", "X-Empty")).data
    assert verifies(data, key.public)
    for before, after in (
        (b"Jane Doe", b"Jane Roe"),
        (b"<p>Hello", b"<p>Hallo"),
        (b"X-Own: 1", b"X-Own: 2"),
        (b"List-Unsubscribe-Post: x", b"List-Unsubscribe-Post: y"),
        (b"\r\nTo: ", b"\r\nFrom: Mallory <m@example.org>\r\nTo: "),
    ):
        assert data.count(before) == 1
        assert not verifies(data.replace(before, after), key.public)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 20])
def test_keys_of_all_kinds_sign_together(rsa: Key, ed25519: Key, count: int) -> None:
    header, body_hash = [(b"From", b"a@example.com")], dkim.body_hash(b"")
    signers = [rsa.signer(), signer_with(rsa, ed25519), ed25519.signer()]
    unsigned = [one for at in range(count) for one in signers[at % 3].unsigned(header, body_hash, at)]
    assert dkim.sign_all(unsigned) == [dkim.sign_all([one])[0] for one in unsigned]


def test_two_signatures_of_which_neither_covers_the_other(rsa: Key, ed25519: Key) -> None:
    for signer in (signer_with(rsa, ed25519), signer_with(ed25519, rsa)):
        data = wire(SHARED, None, signer).data
        first, second, rest = re.split(rb"(?<=\r\n)(?=DKIM-Signature: |Date: )", data)[0:3]
        assert b" a=rsa-sha256;" in first and b" s=s1;" in first
        assert b" a=ed25519-sha256;" in second and b" s=e1;" in second
        assert b"DKIM-Signature" not in rest
        assert verdicts(data, rsa, ed25519) == [True, True]
        assert verdicts(first + rest, rsa) == [True]
        assert verdicts(second + rest, ed25519) == [True]
        assert verdicts(second + first + rest, rsa, ed25519) == [True, True]
        differing = {b" h=", b" bh=", b" t=", b" d=", b" c="}
        assert all(_tag(first, name) == _tag(second, name) for name in differing)


def _tag(field: bytes, name: bytes) -> bytes:
    return b"".join(field.partition(name)[2].partition(b";")[0].split())


def test_what_relays_may_do_does_not_show(rsa: Key) -> None:
    data = wire(SHARED, None, rsa.signer()).data
    for before, after in (
        (b"Jane Doe <", b"Jane Doe\r\n\t <"),
        (b"\r\nSubject: ", b"\r\nSUBJECT:   "),
        (b"</p>\r\n", b"</p>  \r\n"),
        (b"X-Own: 1", b"X-Own: 2"),
    ):
        assert before in data
        assert verifies(data.replace(before, after, 1), rsa.public)
    assert verifies(data + b"\r\n\r\n", rsa.public)


def test_the_field(rsa: Key) -> None:
    data = wire(SHARED, personalization(), rsa.signer()).data
    lines = header_lines(data, "DKIM-Signature")
    assert max(map(len, lines)) <= 76
    assert data.startswith(b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com;")
    tags = dict(tag.strip().split("=", 1) for tag in b"".join(lines).decode().partition(":")[2].split(";"))
    assert tags["t"] == "1772355907"
    assert tags["s"] == "s1"
    assert Counter(tags["h"].replace(" ", "").split(":")) == {
        **dict.fromkeys(("from", "to", "subject", "date", "message-id", "mime-version", "content-type"), 2),
        **dict.fromkeys(("content-transfer-encoding", "list-unsubscribe", "list-unsubscribe-post"), 2),
        **dict.fromkeys(("reply-to", "cc"), 1),
    }


ADDED = (
    *("From: m@example.org", "Reply-To: m@example.org", "To: m@example.org", "Cc: m@example.org", "Subject: Mallory"),
    *("Date: Sun, 01 Mar 2026 10:00:00 +0000", "Message-ID: <m@example.org>", "MIME-Version: 1.0"),
    *("Content-Type: text/plain", "Content-Transfer-Encoding: 8bit", "List-Unsubscribe: <https://m.example/>"),
    "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
)


@pytest.mark.parametrize("field", ADDED)
def test_a_field_that_is_added_breaks_both_signatures(rsa: Key, ed25519: Key, field: str) -> None:
    data = wire(SHARED, personalization(), signer_with(rsa, ed25519)).data
    assert verdicts(data, rsa, ed25519) == [True, True]
    at = data.index(b"\r\nFrom: ") + 2
    for changed in (
        field.encode() + b"\r\n" + data,
        data[:at] + field.encode() + b"\r\n" + data[at:],
    ):
        assert verdicts(changed, rsa, ed25519) == [False, False]


@pytest.mark.parametrize("name", ["Sender", "In-Reply-To", "References", "List-Id"])
def test_fields_that_lists_may_add_are_signed_where_they_are(rsa: Key, name: str) -> None:
    header = ((b"From", b"a@example.com"), (name.encode(), b"<a@example.com>"))
    [signature] = dkim.sign_all(rsa.signer().unsigned(header, dkim.body_hash(b"x\r\n"), 0))
    data = b"DKIM-Signature: %b\r\nFrom: a@example.com\r\n%b: <%b>\r\n\r\nx\r\n"
    assert verifies(data % (signature, name.encode(), b"a@example.com"), rsa.public)
    assert not verifies(data % (signature, name.encode(), b"b@example.com"), rsa.public)


def test_fields_of_one_name_are_taken_from_the_last(rsa: Key) -> None:
    header = ((b"From", b"a@example.com"), (b"X-Own", b"1"), (b"X-Own", b"2"))
    [signature] = dkim.sign_all(rsa.signer("x-own").unsigned(header, dkim.body_hash(b"x\r\n"), 0))
    data = b"DKIM-Signature: " + signature + b"\r\nFrom: a@example.com\r\nX-Own: %d\r\nX-Own: %d\r\n\r\nx\r\n"
    assert verifies(data % (1, 2), rsa.public)
    assert not verifies(data % (2, 1), rsa.public)


def test_known_body_hashes() -> None:
    # RFC 6376 §3.4.4 (an empty body) and RFC 8463 §A.3.
    assert dkim.body_hash(b"") == b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    known = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
    assert dkim.body_hash(known) == b"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="


def test_body_hash_agrees_with_dkimpy() -> None:
    chance = random.Random(20260301)
    pieces = [b"a", b" ", b"  ", b"\t", b" \t ", b"\r\n", b"\r\n\r\n", b" \r\n", b"."]
    for _ in range(500):
        body = b"".join(chance.choices(pieces, k=chance.randrange(30))) + b"\r\n"
        assert dkim.body_hash(body) == b64encode(sha256(Relaxed.canonicalize_body(body)).digest()), body


def test_keys(rsa: Key, ed25519: Key) -> None:
    assert dkim_keys.public_value(dkim_keys.load_private_key(rsa.pem)) == rsa.public
    assert dkim_keys.record_text(rsa.public) == f"v=DKIM1; k=rsa; p={rsa.public}"
    assert dkim_keys.record_text(ed25519.public) == f"v=DKIM1; k=ed25519; p={ed25519.public}"
    assert dkim_keys.record_name("bücher.example", "s1") == "s1._domainkey.xn--bcher-kva.example"


def test_keys_that_cannot_sign(rsa: Key) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(ValueError, match="neither"):
        dkim_keys.load_private_key(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ValueError, match="1024"):
        dkim.Signer("example.com", {"s1": generate_private_key(public_exponent=65537, key_size=1024)})
    key = dkim_keys.load_private_key(rsa.pem)
    with pytest.raises(ValueError, match="no key"):
        dkim.Signer("example.com", {})
    for selector in ("", "a b", "a;b", "a\r\nb", "a..b", "ü"):
        with pytest.raises(ValueError, match="selector"):
            dkim.Signer("example.com", {selector: key})
    for domain in ("", "a b", "a;b=c", "a\r\nb"):
        with pytest.raises(NotComposable):
            dkim.Signer(domain, {"s1": key})
    with pytest.raises(ValueError, match="From"):
        rsa.signer().unsigned([(b"To", b"x")], dkim.body_hash(b""), 0)


def test_loading_a_key_does_not_prove_its_numbers(rsa: Key) -> None:
    """That takes 60 ms, in which an event loop would do nothing else; loading without it takes 15 µs."""
    assert_quicker(lambda: dkim_keys.load_private_key(rsa.pem), lambda: load_pem_private_key(rsa.pem, None), 0.1)
