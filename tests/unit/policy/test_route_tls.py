"""The description of TLS along a route."""

import pytest

from cluster.policies import shaping_of
from cluster.policy.routes.routing import Routing
from cluster.policy.tls.route import along
from cluster.settings import DeliverySettings

SETTINGS = DeliverySettings(mode="direct")
RULE = '[[rule]]\nname = "strict"\ndomain = "*"\ntls = "verified"\n'
RELAY = '[[routes]]\nvia = "discard"\ndomain = ["b.test"]\n[[routes]]\nvia = "relay"\nrelay = "smart.test:587"\n'
PASSWORD = 'username = "u"\npassword = "p"\n'


@pytest.mark.parametrize(
    ("routing", "shown"),
    [
        ("", ("verified", "strict", "shaping.toml")),
        (RELAY, ("opportunistic", "", "default")),
        (RELAY + 'tls = "required"\n', ("required", "route 2", "routing.toml")),
        (RELAY + 'tls = "none"\n', ("none", "route 2", "routing.toml")),
        (RELAY + PASSWORD, ("verified", "route 2", "routing.toml")),
        (RELAY + PASSWORD + 'tls = "required"\n', ("verified", "route 2", "routing.toml")),
        (RELAY + PASSWORD + 'tls = "required"\nauth_needs = "encrypted"\n', ("required", "route 2", "routing.toml")),
    ],
)
def test_the_level_that_holds_and_where_it_is_said(routing: str, shown: tuple[str, str, str]) -> None:
    route = Routing.parse(routing, "direct").route("a2.test", "")
    shaped = shaping_of(RULE, SETTINGS).explain("a2.test", domain="a2.test")
    settings = along(route, shaped)
    assert [(s.value, s.rule, s.origin) for s in settings if s.key == "tls"] == [shown]
    assert [s for s in settings if s.key != "tls"] == [s for s in shaped if s.key != "tls"]


def test_where_no_host_is_asked_nothing_is_said_of_tls() -> None:
    route = Routing.parse(RELAY, "direct").route("b.test", "")
    assert "tls" not in {s.key for s in along(route, shaping_of("", SETTINGS).explain("b.test"))}
