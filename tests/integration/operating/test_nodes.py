"""``postray nodes``, ``drain`` and ``undrain``."""

import asyncio

import pytest
from msgspec import structs

from cluster.commands import drain
from cluster.nodes import ActorState, NodeCounts, NodeState, WantedNodes
from tests.integration.operating.conftest import Postray

FIRST, SECOND = "a1" * 28, "b2" * 28


def a_node(id: str, number: int, *, is_left: bool = False, release: str = "1.4.0") -> NodeState:
    return NodeState(
        id=id,
        machine=f"10.0.0.{number}",
        cpus=4,
        roles=("api", "delivery"),
        is_left=is_left,
        actors=(
            ActorState(name=f"delivery-{number}-0", problem="the disk is [full]", release=release),
            ActorState(name=f"api-{number}-0", problem=None, release=""),
            ActorState(name=f"mail_in-{number}-0", problem=None, release=""),
        ),
        counts=NodeCounts(sites=12, queued=3, in_flight=2, smtp_connections=7, http_connections=1234),
    )


async def test_nodes_are_listed_with_what_they_carry(postray: Postray) -> None:
    membership = postray.journal.membership
    postray.nodes = [a_node(FIRST, 0), a_node(SECOND, 1, release="1.5.0")]
    epoch, _ = await membership.register("delivery-0-0", FIRST)
    await membership.heartbeat("delivery-0-0", epoch, "", 60, sources=["mta2", "mta1"])
    said = await postray.said("nodes")
    assert f"{FIRST[:12]} 10.0.0.0 1.4.0 api, delivery working 3 0 2 7 1,234 12 mta1, mta2" in said
    assert f"{SECOND[:12]} 10.0.0.1 1.5.0" in said
    assert f"{FIRST[:12]} delivery-0-0: the disk is [full]" in said
    first, second = (await postray.json("nodes"))["nodes"]
    assert (first["id"], first["releases"], first["sources"]) == (FIRST, ["1.4.0"], ["mta1", "mta2"])
    assert first["counts"] == {
        "sites": 12,
        "queued": 3,
        "in_flight": 2,
        "smtp_connections": 7,
        "http_connections": 1234,
    }
    assert (second["state"], second["sources"], second["held"]) == ("working", [], 0)
    assert "are wanted" not in said and (await postray.json("nodes"))["wanted"] is None
    postray.wanted = WantedNodes(wanted=2, there=1, least=1, most=3, going=SECOND, reason="nodes use 10% of [what]")
    said = await postray.said("nodes")
    assert f"2 nodes are wanted (1 to 3), 1 are there, {SECOND[:12]} goes: nodes use 10% of [what]" in said
    assert (await postray.json("nodes"))["wanted"]["wanted"] == 2
    postray.wanted = AttributeError("a supervisor of an earlier release")
    assert (await postray.json("nodes"))["wanted"] is None
    postray.problem = "degraded: places are not kept: ray: no answer [within 5 s]"
    assert postray.problem in await postray.said("nodes")
    assert (await postray.json("nodes"))["problem"] == postray.problem
    postray.nodes = [a_node(FIRST, 0, is_left=True)]
    assert (await postray.json("nodes"))["nodes"][0]["state"] == "taken out"


async def test_a_node_is_drained_and_brought_back(
    postray: Postray, journal_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTRAY_POSTGRES_DSN", journal_dsn)
    membership = postray.journal.membership
    postray.nodes = [a_node(FIRST, 0)]

    async def state() -> str:
        (node,) = (await postray.json("nodes"))["nodes"]
        return str(node["state"])

    await membership.register("delivery-0-0", FIRST)
    assert "does not drain" in await postray.refused("undrain", FIRST[:6])
    await membership.drain_node(FIRST)
    assert await state() == "draining"
    await membership.tell_closed(FIRST, "api-0-0")
    assert await state() == "draining", "it goes on to take mail"
    await membership.tell_closed(FIRST, "mail_in-0-0")
    assert await state() == "drained"
    assert await postray.said("drain", FIRST[:6]) == f"drained {FIRST}"
    assert await postray.said("undrain", FIRST[:6]) == f"{FIRST} is back"
    assert await state() == "working"
    assert "names 0 nodes of" in await postray.refused("undrain", SECOND)


async def test_a_node_that_has_only_an_api_is_drained(
    postray: Postray, journal_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTRAY_POSTGRES_DSN", journal_dsn)
    membership = postray.journal.membership
    edge = structs.replace(a_node(SECOND, 1), actors=(ActorState(name="api-1-0", problem=None, release="1.4.0"),))
    postray.nodes = [a_node(FIRST, 0), edge]
    await membership.register("delivery-0-0", FIRST)

    async def close() -> None:
        while not await membership.is_draining(SECOND):
            await asyncio.sleep(0.01)
        await membership.tell_closed(SECOND, "api-1-0")

    closing = asyncio.create_task(close())
    assert await postray.said("drain", SECOND[:6]) == f"drained {SECOND}"
    await closing
    assert [node["state"] for node in (await postray.json("nodes"))["nodes"]] == ["working", "drained"]
    assert await postray.said("undrain", SECOND[:6]) == f"{SECOND} is back"
    assert f"names 0 nodes of:\n  {FIRST}\n  {SECOND}" in await postray.refused("drain", "c3")


async def test_an_api_that_goes_on_to_take_requests_is_named(
    postray: Postray, journal_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTRAY_POSTGRES_DSN", journal_dsn)
    monkeypatch.setattr(drain, "CLOSED_S", 0.3)
    postray.nodes = [a_node(FIRST, 0)]
    assert "still takes requests or mail: api-0-0" in await postray.refused("drain", FIRST[:6])
