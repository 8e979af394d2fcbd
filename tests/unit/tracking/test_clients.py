"""Who opened or clicked, what of it is kept, and which rule calls it a machine."""

from ipaddress import ip_address, ip_network

import pytest

from cluster.tracking.clients import LONGEST_USER_AGENT, Client, KeptAddress, client_of, kept
from cluster.tracking.location import location
from cluster.tracking.machines import is_at_delivery, machine_rule

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"
PROXIES = (ip_network("10.0.0.0/8"),)


def test_a_client_is_read_from_its_request() -> None:
    headers = [(b"user-agent", b"Mail/1\xff"), (b"x-forwarded-for", b"198.51.100.7"), (b"sec-purpose", b"prefetch;x")]
    assert client_of("10.0.0.1", "GET", headers, PROXIES) == Client(
        ip_address("198.51.100.7"), "Mail/1\ufffd", "GET", True
    )
    assert client_of("192.0.2.1", "HEAD", headers[1:2], PROXIES) == Client(ip_address("192.0.2.1"), "", "HEAD")
    assert client_of("", "GET", [(b"user-agent", b"a" * 9000)]).user_agent == "a" * LONGEST_USER_AGENT
    assert client_of("", "GET", [(b"user-agent", b"\x01" * 9000)]).user_agent == "\\x01" * (LONGEST_USER_AGENT // 4)
    assert client_of("x", "GET", [(b"user-agent", b"a\tb\x00")]).user_agent == "a\\x09b\\x00"


@pytest.mark.parametrize(
    ("address", "how", "left"),
    [
        ("192.0.2.77", "full", "192.0.2.77"),
        ("192.0.2.77", "network", "192.0.2.0"),
        ("2001:db8:7:8::9", "full", "2001:db8:7:8::9"),
        ("2001:db8:7:8::9", "network", "2001:db8:7::"),
        ("192.0.2.77", "none", ""),
    ],
)
def test_what_is_kept_of_an_address(address: str, how: KeptAddress, left: str) -> None:
    assert kept(ip_address(address), how) == left
    assert kept("unknown", how) == ""


@pytest.mark.parametrize(
    ("user_agent", "rule"),
    [
        (CHROME, ""),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)", ""),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.0", ""),
        ("Outlook-iOS/709.2189947", ""),
        ("Mozilla/5.0", "apple_mail_privacy"),
        (
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko (via ggpht.com GoogleImageProxy)",
            "google_image_proxy",
        ),
        ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", "yahoo_mail_proxy"),
        ("curl/8.1", "crawler:^curl"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "crawler:Googlebot\\/"),
        ("", "no_user_agent"),
    ],
)
def test_user_agents_of_machines(user_agent: str, rule: str) -> None:
    assert machine_rule(Client("", user_agent)) == rule


def test_other_signs_of_machines() -> None:
    assert machine_rule(Client("", CHROME, "HEAD")) == "head"
    assert machine_rule(Client("", CHROME, "GET", True)) == "prefetch"
    assert machine_rule(Client(ip_address("17.58.1.2"), CHROME)) == "apple_mail_privacy"
    assert machine_rule(Client(ip_address("66.249.84.1"), CHROME)) == "google_image_proxy"
    assert machine_rule(Client(ip_address("2001:db8::1"), CHROME)) == ""


@pytest.mark.parametrize(
    ("clicked", "delivered", "unfinished", "now", "is_machine"),
    [
        (100.0, 99.0, False, 100.1, True),
        (100.1, 99.0, False, 100.2, False),
        (100.0, 100.5, False, 101.0, True),  # before the reply to its end of data was stored
        (100.0, None, True, 100.1, True),  # the host looked at its links before it took the message
        (100.0, None, True, 130.0, False),  # the journal was away: who knows
        (100.0, None, False, 100.1, False),  # the message is gone
    ],
)
def test_clicks_at_the_delivery(
    clicked: float, delivered: float | None, unfinished: bool, now: float, is_machine: bool
) -> None:
    assert is_at_delivery(clicked, delivered, unfinished, now) is is_machine


@pytest.mark.parametrize(
    ("url", "leads_to"),
    [
        ("https://example.com/a?b=c&d=%20#e", b"https://example.com/a?b=c&d=%20#e"),
        ("https://example.com/a b", b"https://example.com/a%20b"),
        ("https://example.com/\r\nSet-Cookie: a=b", b"https://example.com/Set-Cookie:%20a=b"),
        ("https://exam\tple.com/\x01\x7f", b"https://example.com/%01%7F"),
        ("https://example.com/grüße?q=ü#ß", b"https://example.com/gr%C3%BC%C3%9Fe?q=%C3%BC#%C3%9F"),
        ("https://me:pw@bücher.example:8443/x", b"https://me:pw@xn--bcher-kva.example:8443/x"),
        ("HTTP://Bücher.example", b"HTTP://xn--bcher-kva.example"),
        ("https://\u2028.example/", b"https://%E2%80%A8.example/"),
    ],
)
def test_where_a_link_leads(url: str, leads_to: bytes) -> None:
    assert location(url) == leads_to
