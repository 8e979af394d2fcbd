"""The canonical spelling of domains, and that all code that reads addresses uses it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.message.addresses import is_address
from cluster.message.header_fields import NotComposable, address
from cluster.policy.limits.patterns import NameKind, Patterns
from cluster.policy.routes.domains import (
    a_labels,
    domain_of,
    mail_domain,
    spelled,
    spelled_names,
    stored_spellings,
    u_labels,
)
from cluster.policy.routes.mx import lookup_name

SPELLINGS = [
    ("example.com", "example.com"),
    ("Example.COM", "example.com"),
    ("bücher.example", "xn--bcher-kva.example"),
    ("BÜCHER.Example", "xn--bcher-kva.example"),
    ("bu\u0308cher.example", "xn--bcher-kva.example"),  # the same letter in two characters
    ("bücher\u3002example", "xn--bcher-kva.example"),  # an ideographic full stop
    ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
    ("\uff45xample.com", "example.com"),
    ("straße.example", "xn--strae-oqa.example"),
    ("xn--i-7iq.ws", "xn--i-7iq.ws"),  # registered, though IDNA 2008 would not make it
    ("r3---sn-x.example", "r3---sn-x.example"),
]
NONE = ["", "localhost", "127.0.0.1", "[127.0.0.1]", "a..b", "exa mple.com", "i❤.ws", "ü" * 60 + ".de", "a@b.cc"]


@pytest.mark.parametrize(("text", "domain"), SPELLINGS)
def test_one_spelling(text: str, domain: str) -> None:
    assert mail_domain(text) == a_labels(text) == domain == lookup_name(text)
    assert domain_of(f"Ada@{text}") == domain
    assert spelled(f"Ada@{text}") == f"Ada@{domain}"
    assert spelled(f"é@{text}") == f"é@{domain}"


@pytest.mark.parametrize("text", NONE)
def test_no_mail_domain(text: str) -> None:
    assert mail_domain(text) is None


def test_what_is_too_long_is_not_even_looked_at() -> None:
    assert mail_domain("ü." * 1_000_000 + "de") is None
    assert mail_domain("a." * 1_000_000 + "de") is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("MX1.Example.com", "mx1.example.com"),
        ("mx.bücher.example,MX.Example.com", "mx.xn--bcher-kva.example,mx.example.com"),
        ("relay.Bücher.example:587", "relay.xn--bcher-kva.example:587"),
        ("[::1]:25", "[::1]:25"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("capture", "capture"),
        ("", ""),
    ],
)
def test_names_of_sites(text: str, name: str) -> None:
    assert spelled_names(text) == name


def test_patterns_are_read_in_every_spelling() -> None:
    found = Patterns(["Bücher.example", "*.münchen.de"], NameKind.DNS)
    assert found.matches("xn--bcher-kva.example") and found.matches("mx.xn--mnchen-3ya.de")
    with pytest.raises(ValueError, match="as the DNS has it"):
        Patterns(["bü*.example"], NameKind.DNS)


def test_an_address_is_looked_for_as_it_may_have_been_stored() -> None:
    expected = ["ada@bücher.example", "ada@xn--bcher-kva.example"]
    for text in ("Ada@xn--bcher-kva.example", "ada@bücher.example", "ADA@XN--BCHER-KVA.EXAMPLE"):
        assert set(stored_spellings(text)) >= set(expected)
    assert stored_spellings("Ada@Example.com") == ["ada@example.com"]
    assert stored_spellings("é@example.com") == ["é@example.com"]


# Arbitrary input

LABELS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
ASCII_LABELS = st.text("abcXYZ019-", min_size=1, max_size=12)
LETTERS = st.text("aBzéÜßčд漢字か\u05d0\u05d10-", min_size=1, max_size=10)
DOMAINS = st.lists(LABELS | ASCII_LABELS | LETTERS, min_size=1, max_size=4).map(".".join)
LOCAL_PARTS = (
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
    | st.text("ab.+é!_", min_size=1, max_size=8)
    | st.text('ab "\\é', max_size=8).map(lambda text: f'"{text}"')
)
EMAILS = st.builds("{}@{}".format, LOCAL_PARTS, DOMAINS) | st.text(max_size=20)


@given(DOMAINS)
def test_the_spelling_of_the_spelling_is_itself(text: str) -> None:
    for domain in (a_labels(text), mail_domain(text)):
        if domain is not None:
            assert domain.isascii() and domain == domain.lower()
            assert a_labels(domain) == domain
    if (domain := mail_domain(text)) is not None:
        assert mail_domain(domain) == domain == lookup_name(domain) == spelled_names(domain)
        assert mail_domain(u_labels(domain)) in (domain, None)  # some A-labels are not the encoding of any label


@given(EMAILS)
def test_an_address_that_is_accepted_can_be_composed_as_it_is_stored(email: str) -> None:
    if not is_address(email):
        return
    stored = spelled(email)
    assert is_address(stored)
    assert spelled(stored) == stored
    assert stored.rpartition("@")[0] == email.rpartition("@")[0]
    assert domain_of(stored) == stored.rpartition("@")[2] == domain_of(email)
    written, international = address(stored)
    assert address(email)[1] == international == (not stored.rpartition("@")[0].isascii())
    assert written.rpartition("@")[0] == stored.rpartition("@")[0]
    assert mail_domain(written.rpartition("@")[2]) == domain_of(stored)


@given(EMAILS)
def test_what_is_composed_of_an_address_ends_no_line_and_no_command(email: str) -> None:
    try:
        written, _ = address(email)
    except NotComposable:
        return
    assert not set(written.rpartition("@")[2]) & set("\r\n\0 <>,;@")
    assert not set(written) & set("\r\n\0")


@given(EMAILS)
def test_the_spelling_of_anything_is_quiet(email: str) -> None:
    spelled(email), domain_of(email), stored_spellings(email), spelled_names(email)
