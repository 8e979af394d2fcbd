"""Routes by name, for rerouting mail."""

from cluster.policy.routes.rerouting import fixed_sites, named_route
from cluster.policy.routes.routing import Routing, Via

FILE = """
[[routes]]
domain = ["a.example"]
via = "relay"
relay = "Relay.example:25"

[[routes]]
domain = ["b.example"]
via = "discard"
"""


def test_ways_are_named_by_their_relay_or_their_word() -> None:
    routing = Routing.parse(FILE, mode="direct")
    assert fixed_sites(routing) == {"relay.example:25", "discard"}
    relay, direct, discard = (named_route(routing, name) for name in ("relay.example:25", "direct", "discard"))
    assert relay is not None and (relay.via, relay.relay) == (Via.RELAY, "relay.example:25")
    assert direct is not None and direct.via is Via.DIRECT
    assert discard is not None and discard.via is Via.DISCARD
    for forgotten in ("", "relay", "capture", "other.example:25"):
        assert named_route(routing, forgotten) is None


def test_in_capture_mode_nothing_leaves() -> None:
    routing = Routing.parse(FILE, mode="capture")
    assert fixed_sites(routing) == {"relay.example:25", "discard", "capture"}
    assert named_route(routing, "relay.example:25") is named_route(routing, "direct") is None
