"""/v3/ips: addresses, pools and warm-up in SendGrid's shapes, and the pools that a send request may name."""

from datetime import date

import pytest

from cluster.policy.routes.routing import Routing
from tests.unit.api.bodies import mail
from tests.unit.api.conftest import World

ROUTING = """
[sources.b]
address = "192.0.2.20"
address6 = "2001:db8::2"

[sources.a]
address = "192.0.2.3"
helo_name = "out1.example.com"

[sources.new]
address = "192.0.2.100"
[sources.new.warm_up]
started = 2026-11-01
per_day = [50, 100, 500]

[pools.marketing]
a = 3
b = 1
[pools.default]
a = 1
"""
STARTED = 1793491200
"""2026-11-01 in Unix seconds."""


@pytest.fixture
def routed(world: World) -> World:
    world.policy.routing = Routing.parse(ROUTING)
    world.policy.today = lambda: date(2026, 11, 2)
    return world


async def test_the_addresses(routed: World) -> None:
    found = (await routed.request("GET", "/v3/ips")).json()
    assert [one["ip"] for one in found] == ["192.0.2.3", "192.0.2.20", "192.0.2.100", "2001:db8::2"]
    assert found[0] == {
        "ip": "192.0.2.3",
        "subusers": [],
        "rdns": "out1.example.com",
        "pools": ["default", "marketing"],
        "warmup": False,
        "start_date": None,
        "whitelabeled": True,
        "assigned_at": None,
    }
    assert (found[2]["warmup"], found[2]["start_date"], found[2]["pools"]) == (True, STARTED, [])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"limit": "1", "offset": "1"}, ["192.0.2.20"]),
        ({"ip": "192.0.2.100"}, ["192.0.2.100"]),
        ({"exclude_whitelabels": "true", "limit": "2"}, ["192.0.2.20", "192.0.2.100"]),
        ({"sort_by_direction": "desc", "limit": "1"}, ["2001:db8::2"]),
        ({"subuser": "one"}, []),
    ],
)
async def test_each_filter(routed: World, query: dict[str, str], expected: list[str]) -> None:
    assert [one["ip"] for one in (await routed.request("GET", "/v3/ips", **query)).json()] == expected


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "x"}, {"offset": "-1"}, {"sort_by_direction": "up"}])
async def test_a_filter_that_cannot_be(routed: World, query: dict[str, str]) -> None:
    response = await routed.request("GET", "/v3/ips", **query)
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == next(iter(query))


async def test_a_filter_names_its_choices(routed: World) -> None:
    for query, said in (({"sort_by_direction": "up"}, "asc or desc"), ({"exclude_whitelabels": "x"}, "true or false")):
        response = await routed.request("GET", "/v3/ips", **query)
        assert response.json()["errors"][0]["message"] == f"Must be {said}"


async def test_one_address_pools_and_warm_up(routed: World) -> None:
    async def got(path: str) -> object:
        response = await routed.request("GET", f"/v3/ips{path}")
        return response.json() if response.status_code == 200 else response.status_code

    assert (await got("/2001:DB8:0::2"))["ip"] == "2001:db8::2"  # type: ignore[index]
    assert await got("/192.0.2.99") == await got("/nonsense") == 404
    assert await got("/pools") == [{"name": "default"}, {"name": "marketing"}]
    assert await got("/pools/marketing") == {
        "pool_name": "marketing",
        "ips": ["192.0.2.3", "192.0.2.20", "2001:db8::2"],
    }
    assert await got("/pools/other") == 404
    assert [one["ip"] for one in await got("/assigned")] == ["192.0.2.3", "192.0.2.20", "2001:db8::2"]  # type: ignore[attr-defined]
    warming = [{"ip": "192.0.2.100", "start_date": STARTED}]
    assert await got("/warmup") == await got("/warmup/192.0.2.100") == warming
    assert await got("/warmup/192.0.2.3") == 404


async def test_a_warm_up_ends(routed: World) -> None:
    routed.policy.today = lambda: date(2026, 11, 4)
    assert (await routed.request("GET", "/v3/ips/warmup")).json() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", ""),
        ("POST", "/pools"),
        ("PUT", "/pools/marketing"),
        ("DELETE", "/pools/marketing"),
        ("POST", "/pools/marketing/ips"),
        ("DELETE", "/pools/marketing/ips/192.0.2.3"),
        ("POST", "/warmup"),
        ("DELETE", "/warmup/192.0.2.3"),
    ],
)
async def test_a_write_says_who_decides(routed: World, method: str, path: str) -> None:
    response = await routed.request(method, f"/v3/ips{path}")
    assert response.status_code == 403
    assert "routing.toml" in response.json()["errors"][0]["message"]
    assert (await routed.client.request(method, f"/v3/ips{path}")).status_code == 401


@pytest.mark.parametrize("pool", ["marketing", "default"])
async def test_a_pool_that_exists_may_be_named(routed: World, pool: str) -> None:
    assert (await routed.send(mail(ip_pool_name=pool))).status_code == 202


@pytest.mark.parametrize("pool", ["other", "p" * 65, "marketing\0"])
async def test_a_pool_that_does_not_exist_may_not(routed: World, pool: str) -> None:
    assert await routed.faults(mail(ip_pool_name=pool)) == [("ip_pool_name", "The pool does not exist")]
