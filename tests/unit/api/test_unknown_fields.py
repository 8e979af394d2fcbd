"""Fields that a body's type does not have: the answer names them, and the body means what it did without them."""

import pickle
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import UNSET, Meta, Struct, UnsetType, field

from api.http.decoding import decode
from api.http.ignored import LONGEST_PATH, MOST_NAMED, Ignored
from api.http.refusals import Fault, Invalid, Refusal
from api.http.unknown_fields import NamingDecoder
from api.send.notes import Notes
from api.send.request import MailSend
from api.send.sending import DECODER, decode_mail
from tests.unit.api.bodies import mail, to
from tests.unit.api.conftest import World


class Inner(Struct):
    a: int | None = None


class Outer(Struct, kw_only=True):
    one: Inner | None = None
    many: list[Inner] | None = None
    by_name: dict[str, Inner] | None = None
    free: dict[str, Any] | None = None
    either: str | Inner | None = None
    bounded: Annotated[list[Inner], Meta(max_length=3)] | None = None
    renamed: int | None = field(name="from", default=None)
    unset: int | UnsetType | None = UNSET


OUTER = NamingDecoder(msgspec.json.Decoder(Outer))


def named(body: bytes) -> list[str]:
    ignored = Ignored()
    value = OUTER.decode(body, ignored)
    assert msgspec.to_builtins(value) == msgspec.to_builtins(decode(msgspec.json.Decoder(Outer), body))
    return ignored.ignored


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"{}", []),
        (b'{"one":{"a":1},"many":[{"a":1}],"free":{"x":{"y":1}},"from":1}', []),
        (b'{"x":1}', ["x"]),
        (b' \n{"x" : {"deep": [1]} , "y":[]}\t', ["x", "y"]),
        (b'\xef\xbb\xbf{"x":1}', ["x"]),
        (b'{"x":null,"y":false,"z":0}', ["y", "z"]),
        (b'{"x":1,"x":2,"one":{"y":1},"one":{"a":1,"z":1}}', ["x", "one.z"]),
        (b'{"one":{"b":1},"many":[{"a":1},{"c":1}],"by_name":{"k":{"d":1}}}', ["one.b", "many[1].c", "by_name.k.d"]),
        (b'{"either":"text","bounded":[{"e":1}]}', ["bounded[0].e"]),
        (b'{"either":{"f":1},"renamed":3,"from":3}', ["either.f", "renamed"]),
        (b'{"unset":null,"one":null,"many":null,"x":1}', ["x"]),
        (b'{"On\\u0065":1,"":1,"a.b":1,"\\u00e9":1}', ["One", "", "a.b", "\u00e9"]),
        (b'{"' + b"n" * 5000 + b'":1}', ["n" * 100]),
    ],
)
def test_their_names(body: bytes, names: list[str]) -> None:
    assert named(body) == names


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b"{",
        b'{"x":}',
        b'{"x":1,"one":3}',
        b'{"many":[{"b":1},{"a":"text"}]}',
        b'{"bounded":[{},{},{},{"x":1}]}',
        b'{"x":"\xff","one":{"a":"no"}}',
        b'{"x":"\\ud800","from":"no"}',
        b'{"x":1}{"y":2}',
        b"[" * 100_000,
        b'{"x":' + b"[" * 100_000,
    ],
)
def test_a_fault_is_reported_as_without_unknown_fields(body: bytes) -> None:
    with pytest.raises(Refusal) as plain:
        decode(msgspec.json.Decoder(Outer), body)
    with pytest.raises(Refusal) as naming:
        OUTER.decode(body, Ignored())
    assert type(naming.value) is type(plain.value) and naming.value.args == plain.value.args


@pytest.mark.parametrize("name", [b"\xff", b"\\ud800"])
def test_a_name_that_is_no_text_is_refused(name: bytes) -> None:
    with pytest.raises(Refusal):
        OUTER.decode(b'{"' + name + b'":1}', Ignored())


def test_a_body_without_unknown_fields_is_decoded_once() -> None:
    body = msgspec.json.encode(mail(personalizations=[to(f"user{index}@example.com") for index in range(3)]))
    decoded = decode_mail(body, notes := Notes())
    assert isinstance(decoded, MailSend) and notes.header() == ""
    assert msgspec.to_builtins(decoded) == msgspec.to_builtins(DECODER.decode(body))


def test_the_header_is_bounded() -> None:
    ignored = Ignored()
    for _ in range(1000):
        ignored.ignore("\u20ac,\r\n" * 100)
    paths = ignored.header().split(",")
    assert len(paths) == MOST_NAMED + 1 and paths[-1] == f"+{1000 - MOST_NAMED}"
    assert all(len(path) <= LONGEST_PATH and path.startswith("%E2%82%AC%2C%0D%0A") for path in paths[:-1])


def test_a_refusal_keeps_them_on_its_way_between_processes() -> None:
    refusal = pickle.loads(pickle.dumps(Invalid([Fault("wrong", "from")], "subjct")))
    assert (refusal.faults, refusal.ignored) == ([Fault("wrong", "from")], "subjct")


async def test_a_send_request_names_them_wherever_they_are(world: World) -> None:
    body = mail(sendat=1, personalizations=[{**to("ada@example.com"), "sendat": 1}])
    body["from"]["nmae"] = "Acme"
    body["content"][0]["vlaue"] = ""
    response = await world.send(body)
    assert response.status_code == 202
    assert set(response.headers["x-postray-ignored"].split(",")) == {
        "sendat",
        "personalizations[0].sendat",
        "from.nmae",
        "content[0].vlaue",
    }
    assert "x-postray-ignored" not in (await world.send(mail())).headers


async def test_a_refused_send_request_names_them_too(world: World) -> None:
    response = await world.send(mail(subject=None, subjct="Hello"))
    assert (response.status_code, response.headers["x-postray-ignored"]) == (400, "subjct")


@pytest.mark.parametrize("padding", [20_000, 1_200_000])
async def test_larger_requests_name_them_too(world: World, padding: int) -> None:
    text = [{"type": "text/plain", "value": "x" * padding}]
    response = await world.send(mail(content=text, sendat=1))
    assert (response.status_code, response.headers["x-postray-ignored"]) == (202, "sendat")
    response = await world.send(mail(content=text, sendat=1, subject=""))
    assert (response.status_code, response.headers["x-postray-ignored"]) == (400, "sendat")
    assert len(world.large.bodies) == (2 if padding > 1_000_000 else 0)


async def test_other_routes_name_them(world: World) -> None:
    batch = (await world.request("POST", "/v3/mail/batch")).json()["batch_id"]
    headers = {"Authorization": f"Bearer {world.key}"}
    body = {"batch_id": batch, "status": "pause", "sttus": "cancel"}
    response = await world.client.post("/v3/user/scheduled_sends", json=body, headers=headers)
    assert (response.status_code, response.headers.get_list("x-postray-ignored")) == (201, ["sttus"])
    body = {"batch_id": batch, "sttus": "cancel"}
    response = await world.client.post("/v3/user/scheduled_sends", json=body, headers=headers)
    assert (response.status_code, response.headers.get_list("x-postray-ignored")) == (400, ["sttus"])


def test_of_many_unknown_fields_the_first_are_named_and_all_are_counted() -> None:
    body = b'{"personalizations":[{' + b",".join(b'"k%d":1' % index for index in range(200_000)) + b"}]}"
    decode_mail(body, notes := Notes())
    assert len(notes.ignored) == MOST_NAMED and notes.more == 200_000 - MOST_NAMED
