"""Which texts are addresses, and which domain they go to."""

import pytest

from cluster.message.addresses import is_address
from cluster.policy.routes.domains import domain_of

LONGEST_DOMAIN = ".".join(["d" * 63, "d" * 63, "d" * 61])

ADDRESSES = [
    ("ada@example.com", "example.com"),
    ("Ada.Lovelace+tag@Mail.EXAMPLE.com", "mail.example.com"),
    ("!#$%&'*+/=?^_`{|}~-@example.com", "example.com"),
    ("a@b.cc", "b.cc"),
    ("a@1.example.com", "1.example.com"),
    ("a" * 64 + "@example.com", "example.com"),
    (f"{'a' * 64}@{LONGEST_DOMAIN}", LONGEST_DOMAIN),
    (f"a@{'d' * 63}.com", "d" * 63 + ".com"),
    ('"ada lovelace"@example.com', "example.com"),
    (r'"a\"b@c"@example.com', "example.com"),
    ("ada@bücher.example", "xn--bcher-kva.example"),
    ("ada@BÜCHER.example", "xn--bcher-kva.example"),
    ("ada@例え.jp", "xn--r8jz45g.jp"),
    ("añe@example.com", "example.com"),
    ("用户@例え.jp", "xn--r8jz45g.jp"),
    ("é" * 32 + "@example.com", "example.com"),
    ("a@xn--bcher-kva.example", "xn--bcher-kva.example"),
]


@pytest.mark.parametrize(("email", "domain"), ADDRESSES)
def test_addresses(email: str, domain: str) -> None:
    assert is_address(email)
    assert domain_of(email) == domain


@pytest.mark.parametrize(
    "email",
    [
        "",
        "@",
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "ada@localhost",
        "ada@127.0.0.1",
        "ada@[127.0.0.1]",
        "ada@[IPv6:::1]",
        "ada@example.com.",
        "ada@.example.com",
        "ada@example..com",
        "ada@-example.com",
        "ada@example-.com",
        "ada@exa_mple.com",
        "ada@exam ple.com",
        "ada@bü cher.example",
        "ada@bücher",
        ".ada@example.com",
        "ada.@example.com",
        "a..da@example.com",
        "a da@example.com",
        "a@da@example.com",
        "ada@example.com\n",
        "ada@example.com ",
        " ada@example.com",
        "ada\0@example.com",
        "ada\r\nRCPT TO:<x@y.zz>@example.com",
        "<ada@example.com>",
        "Ada <ada@example.com>",
        "a" * 65 + "@example.com",
        "é" * 33 + "@example.com",
        f"a@{'d' * 64}.com",
        f"{'a' * 64}@d{LONGEST_DOMAIN}",
        '"' + "a" * 63 + '"@example.com',
        '"ada"x@example.com',
        '"ada@example.com',
        "a\u200e@example.com",
        "ada@\u200e.com",
        "a" * 1_000_000,
        "a@" + "ü." * 1_000_000,
        "@" * 100_000,
    ],
    ids=lambda email: ascii(email[:40]),
)
def test_not_addresses(email: str) -> None:
    assert not is_address(email)
