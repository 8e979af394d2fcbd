"""Destinations: their names, and the destination of a delivery."""

from collections import Counter

import pytest

from cluster.policy.routes.destinations import CAPTURE, Destination, destination, parse

NAMED = {
    "example.com": Destination("example.com"),
    "out-1>example.com": Destination("example.com", "out-1"),
    "capture#1/4": Destination(CAPTURE, share=1, shares=4),
    "out-1>smart.example:587#0/2": Destination("smart.example:587", "out-1", 0, 2),
    "[2001:db8::1]:25": Destination("[2001:db8::1]:25"),
    "xn--mnchen-3ya.example": Destination("xn--mnchen-3ya.example"),
}


@pytest.mark.parametrize(("name", "place"), NAMED.items())
def test_a_destination_is_known_again_by_its_name(name: str, place: Destination) -> None:
    assert str(place) == name
    assert parse(name) == place


@pytest.mark.parametrize(
    "name",
    [
        "",
        ">",
        "out>",
        ">example.com",
        "#",
        "#0/2",
        "example.com#",
        "example.com#1",
        "example.com#0/1",
        "example.com#2/2",
        "example.com#3/2",
        "example.com#0/0",
        "example.com#-1/2",
        "example.com#+1/2",
        "example.com# 1/2",
        "example.com#01/2",
        "example.com#1/02",
        "example.com#1/2/3",
        "example.com#1/2#1/2",
        "example.com#१/२",
        "example.com#¹/2",
        "example.com#1_0/20",
        "out>#0/2",
        "example.com#" + "9" * 5000 + "/" + "9" * 5001,
    ],
)
def test_what_is_no_name_is_none(name: str) -> None:
    assert parse(name) is None


def test_whatever_is_parsed_is_written_the_same_way() -> None:
    for name in ("a>b>c", "a#b.example", "\0", "ex\nample", "é.example", "a b", "x" * 300, "a>b#0/2>c"):
        place = parse(name)
        assert place is None or str(place) == name


def test_without_shares_a_delivery_belongs_to_its_site() -> None:
    assert destination("example.com", "", "msg_1", 1) == Destination("example.com")
    assert destination("example.com", "out", "msg_1", 1) == Destination("example.com", "out")


def test_a_message_belongs_to_one_share_and_the_shares_are_about_equal() -> None:
    counts = Counter(destination(CAPTURE, "", f"msg_{number}", 4) for number in range(4000))
    assert set(counts) == {Destination(CAPTURE, share=share, shares=4) for share in range(4)}
    assert min(counts.values()) > 800
    assert destination(CAPTURE, "", "msg_1", 4) == destination(CAPTURE, "", "msg_1", 4)


def test_a_smarthost_is_a_relay_and_a_site_of_the_dns_is_none() -> None:
    assert Destination("smart.example:587").is_relay
    assert not Destination("example.com").is_relay
    assert not Destination(CAPTURE).is_relay


@pytest.mark.parametrize("limit", [1, 5, 20, 21])
def test_the_parts_of_a_limit_sum_to_it(limit: int) -> None:
    parts = [Destination("s", share=share, shares=3).part_of(limit) for share in range(3)]
    assert sum(parts) == max(limit, 3)
    assert max(parts) - min(parts) <= 1
