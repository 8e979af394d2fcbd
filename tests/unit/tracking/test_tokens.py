"""The tokens of tracked mail."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.ids import new_id
from cluster.tracking.tokens import (
    Kind,
    Named,
    Preferences,
    Recipient,
    RecipientTokens,
    Target,
    TokenKey,
    click_suffix,
    open_suffix,
    read,
    unsubscribe_suffix,
)

KEY, OTHER = TokenKey(1, b"k" * 32), TokenKey(2, b"o" * 32)
KEYS = {KEY.id: KEY.key, OTHER.id: OTHER.key}
URL = "https://www.example.com/articles/2026/11/some-article?a=b&c=d"


def recipient(**values: Any) -> Recipient:
    given: dict[str, Any] = {
        "tenant_number": 7,
        "message_id": new_id("msg_"),
        "recipient_no": 0,
        "email": "ada@example.com",
    }
    return Recipient(**(given | values))


urls = st.builds(
    lambda scheme, rest: f"{scheme}://{rest}",
    st.sampled_from(["http", "https"]),
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=200),
)


@given(
    st.integers(1, 2**40),
    st.integers(0, 1000),
    st.text(st.characters(codec="utf-8"), max_size=60),
    urls,
    st.integers(0, 10_000),
)
def test_a_link_names_what_it_was_made_from(tenant: int, number: int, email: str, url: str, index: int) -> None:
    who = recipient(tenant_number=tenant, recipient_no=number, email=email)
    target = Target(url, index)
    token = RecipientTokens(KEY, who).token(click_suffix(target))
    assert read(token, Kind.CLICK, KEYS) == Named(who, target=target)
    assert RecipientTokens(KEY, who).token(click_suffix(target)) == token


@given(st.none() | st.integers(1, 2**31 - 1), st.lists(st.integers(1, 2**31 - 1), max_size=25))
def test_an_unsubscribe_page_names_its_groups(group_id: int | None, shown: list[int]) -> None:
    preferences, who = Preferences(group_id, tuple(shown)), recipient()
    token = RecipientTokens(KEY, who).token(unsubscribe_suffix(preferences))
    assert read(token, Kind.UNSUBSCRIBE, KEYS) == Named(who, preferences=preferences)


def test_it_is_short_and_hides_the_address() -> None:
    url = URL[:60]
    token = RecipientTokens(KEY, recipient(email="ada.lovelace@example.com")).token(click_suffix(Target(url, 3)))
    assert len(f"https://links.example.com/t/c/{token}") < 200
    data = base64.urlsafe_b64decode(token)
    assert b"lovelace" not in data and b"example.com/articles" in data


def test_every_other_token_is_none() -> None:
    who = recipient()
    tokens = RecipientTokens(KEY, who)
    token = tokens.token(click_suffix(Target(URL, 0)))
    for at in range(len(token)):
        for digit in "A_z0":
            if digit != token[at]:
                assert read(token[:at] + digit + token[at + 1 :], Kind.CLICK, KEYS) is None
        assert read(token[:at], Kind.CLICK, KEYS) is None
    for text in (
        "",
        "=",
        "a",
        token + "A",
        token + "AAAA",
        token + "=",
        "A" * 8001,
        token.replace(token[0], "é"),
        " " * 4,
    ):
        assert read(text, Kind.CLICK, KEYS) is None
    another = RecipientTokens(KEY, recipient()).token(click_suffix(Target("https://evil.example/", 0)))
    for cut in range(0, len(token), 4):
        assert read(token[:cut] + another[cut:], Kind.CLICK, KEYS) in (None, read(another, Kind.CLICK, KEYS))


def test_a_kind_does_not_stand_for_another() -> None:
    tokens = RecipientTokens(KEY, recipient())
    made = {
        Kind.OPEN: tokens.token(open_suffix()),
        Kind.CLICK: tokens.token(click_suffix(Target(URL, 0))),
        Kind.UNSUBSCRIBE: tokens.token(unsubscribe_suffix(Preferences())),
    }
    for kind, token in made.items():
        assert [other for other in Kind if read(token, other, KEYS) is not None] == [kind]


def test_keys_rotate() -> None:
    who = recipient()
    token = RecipientTokens(OTHER, who).token(open_suffix())
    assert read(token, Kind.OPEN, KEYS) == Named(who)
    assert read(token, Kind.OPEN, {KEY.id: KEY.key}) is None
    assert read(token, Kind.OPEN, {OTHER.id: KEY.key}) is None


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "ftp://example.com/", "//example.com", "https://a\0b", "mailto:a@b"]
)
def test_only_web_addresses_are_targets(url: str) -> None:
    with pytest.raises(ValueError):
        click_suffix(Target(url, 0))
    with pytest.raises(ValueError):
        click_suffix(Target(f"https://example.com/{'a' * 4000}", 0))
