"""Addresses are found in texts in any usual spelling, and those of others are not."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.message.mentions import ERASED, ERASED_TEXT, Mentions
from cluster.suppression.address import compared

ADA, BRIEN, PLUS, GREEK = "ada@example.com", "o'brien@example.com", "ada+news@example.com", "ada@bücher.example"
MENTIONS = Mentions([compared(one) for one in (ADA, BRIEN, PLUS, GREEK)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ADA@Example.COM", ERASED),
        ("550 <ada@example.com>: no.", f"550 <{ERASED}>: no."),
        ("Write to ada@example.com.", f"Write to {ERASED}."),
        ("mailto:ada@example.com?subject=x", f"mailto:{ERASED}?subject=x"),
        ("'ada@example.com', \"ada@example.com\"", f"'{ERASED}', \"{ERASED}\""),
        ("*ada@example.com*|ada@example.com|", f"*{ERASED}*|{ERASED}|"),
        ("https://a.example/?e=ada%40example.com&x=1", f"https://a.example/?e={ERASED}&x=1"),
        ("https://a.example/?to=%2F%3Fe%3Dada%2540example.com", f"https://a.example/?to=%2F%3Fe%3D{ERASED}"),
        ("e=%3Cada%40example.com%3E", f"e=%3C{ERASED}%3E"),
        ("e=ada%2Bnews%40example.com", f"e={ERASED}"),
        ("<p>ada&#64;example.com</p>", f"<p>{ERASED}</p>"),
        ("o'brien@example.com", ERASED),
        ("ada@BÜCHER.example, ada@xn--bcher-kva.example", f"{ERASED}, {ERASED}"),
        ("ada@example.com宛", f"{ERASED}宛"),
        ("ada@example.comada@example.com", "ada@example.comada@example.com"),
        ("ada@example.com ada@example.com", f"{ERASED} {ERASED}"),
        # In this encoding an address is found, but has no place.
        ("to=%61da%40example.com", ERASED_TEXT),
    ],
)
def test_addresses_are_replaced(text: str, expected: str) -> None:
    assert MENTIONS.without(text) == expected
    assert MENTIONS.are_in(text) == (text != expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@example.com",
        "ada@example.comx",
        "ada@example.com.au",
        "ada@example.com-x",
        "nada@example.com",
        "x.ada@example.com",
        "x-ada@example.com",
        "ada+other@example.com",
        "ada@other.example.com",
        "ada at example.com",
        "ada%2440example.com",
    ],
)
def test_others_stay(text: str) -> None:
    assert not MENTIONS.are_in(text)
    assert MENTIONS.without(text) is text


@given(st.lists(st.sampled_from([ADA, "bob@example.com", "%40", "@", "%", "&#64;", " ", "<", ".", "é", "%61", "x"])))
def test_nothing_is_left(pieces: list[str]) -> None:
    assert not MENTIONS.are_in(MENTIONS.without("".join(pieces)))


def test_in_mail() -> None:
    inner = b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(b"It was for ada@example.com, once.")
    attached = b'Content-Type: multipart/report; boundary="b"\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n'
    assert MENTIONS.are_in_mail(inner)
    assert MENTIONS.are_in_mail(inner[:-3])
    assert MENTIONS.are_in_mail(attached + inner + b"\r\n--b--\r\n")
    assert MENTIONS.are_in_mail(b"To: x\r\n\r\nada=40example.com")
    assert not MENTIONS.are_in_mail(attached + b"To: bob@example.com\r\n\r\nada\r\n--b--\r\n")


@pytest.mark.parametrize(
    "unit", ["@", "a", "a@", "%40", "&#64;", "ada@example.com", "ada@", "%", "@example.com", "é@é"]
)
def test_a_hostile_text_takes_time_in_proportion_to_its_length(unit: str) -> None:
    def took(length: int) -> float:
        text = unit * (length // len(unit))
        start = time.process_time()
        MENTIONS.without(text)
        return time.process_time() - start

    took(10_000)
    assert took(200_000) < 20 * max(took(40_000), 0.005)


def test_many_addresses_of_one_domain() -> None:
    many = Mentions([f"user{number}@example.com" for number in range(5000)])
    assert many.without("user17@example.com user5001@example.com") == f"{ERASED} user5001@example.com"
