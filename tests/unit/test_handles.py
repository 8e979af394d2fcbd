"""What a process calls others by is found before it is needed, and kept as long as it is good."""

import asyncio
from typing import Any

import pytest
import ray.exceptions

from cluster.launch import places
from cluster.launch.handles import AHEAD_S, Handles
from cluster.launch.questions import Questions
from cluster.peers import PeerGone
from cluster.topology import SPECS, called_by


class Cluster:
    """Ray's control service, and the actors. ``answers``: what an actor's call raises, or returns."""

    def __init__(self) -> None:
        self.names = ["api-0-0", "delivery-0-0", "delivery-1-0", "recorder", "supervisor"]
        self.is_away = False
        self.asked: list[str] = []
        self.met: list[str] = []
        self.answers: dict[str, Any] = {}
        self.lives: dict[str, int] = {}
        """How often another actor has got the name."""

    def dies(self, name: str, *, has_successor: bool) -> None:
        if has_successor:
            self.lives[name] = self.lives.get(name, 0) + 1
        else:
            self.answers[name] = ray.exceptions.ActorDiedError()

    def list_names(self) -> list[str]:
        if self.is_away:
            raise PeerGone("ray", "away")
        return self.names

    def handle_of(self, name: str) -> "Handle":
        self.asked.append(name)
        if self.is_away or name not in self.names:
            raise PeerGone(name, "away")
        return Handle(self, name)


class Handle:
    """``handle.call.remote(method, arguments)``, and ``handle.__ray_ready__.remote()``."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._name = name
        self._life = cluster.lives.get(name, 0)
        self.call = self.__ray_ready__ = self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and (self._name, self._life) == (other._name, other._life)

    async def remote(self, method: str = "", arguments: tuple[Any, ...] = ()) -> Any:
        if self._life != self._cluster.lives.get(self._name, 0):
            raise ray.exceptions.ActorDiedError()
        if not method:
            self._cluster.met.append(self._name)
        answer = self._cluster.answers.get(self._name, (method, arguments))
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    monkeypatch.setattr(places, "names", cluster.list_names)
    monkeypatch.setattr(places, "handle_of", cluster.handle_of)
    return cluster


async def test_those_that_may_be_called_are_found_ahead(cluster: Cluster) -> None:
    handles = Handles(Questions(), {"delivery", "supervisor"})
    await handles.find()
    await handles.find()
    assert sorted(cluster.asked) == ["delivery-0-0", "delivery-1-0", "supervisor"], "each once, and no others"
    assert sorted(cluster.met) == sorted(cluster.asked)
    cluster.is_away = True
    assert await handles.call("delivery-1-0", "offer", 1, 2) == ("offer", (1, 2))
    with pytest.raises(PeerGone, match="away"):
        await handles.call("recorder", "timeline")


async def test_one_that_starts_is_met_later(cluster: Cluster) -> None:
    handles = Handles(Questions(), {"delivery"})
    cluster.answers["delivery-0-0"] = ray.exceptions.ActorUnavailableError("it starts", None)
    await handles.find()
    del cluster.answers["delivery-0-0"]
    await handles.find()
    await handles.find()
    assert cluster.met == ["delivery-0-0", "delivery-1-0", "delivery-0-0"]
    assert sorted(cluster.asked) == ["delivery-0-0", "delivery-1-0"]


async def test_a_handle_is_kept_while_its_actor_may_come_back(cluster: Cluster) -> None:
    handles = Handles(Questions(), {"delivery"})
    await handles.find()
    cluster.is_away = True
    cluster.answers["delivery-0-0"] = ray.exceptions.ActorUnavailableError("its process died", None)
    with pytest.raises(PeerGone, match="ActorUnavailableError"):
        await handles.call("delivery-0-0", "offer")
    del cluster.answers["delivery-0-0"]
    assert await handles.call("delivery-0-0", "offer") == ("offer", ())


async def test_the_successor_of_one_that_has_moved_is_called_at_once(cluster: Cluster) -> None:
    handles = Handles(Questions(), {"recorder"})
    await handles.find()
    cluster.dies("recorder", has_successor=True)
    assert await handles.call("recorder", "timeline", 1) == ("timeline", (1,))
    assert await handles.call("recorder", "timeline", 2) == ("timeline", (2,))
    assert cluster.asked.count("recorder") == 2


async def test_one_that_has_died_and_has_no_successor_yet_is_found_anew_later(cluster: Cluster) -> None:
    handles = Handles(Questions(), {"delivery"})
    await handles.find()
    cluster.dies("delivery-0-0", has_successor=False)
    with pytest.raises(PeerGone, match="ActorDiedError"):
        await handles.call("delivery-0-0", "offer")
    cluster.names.remove("delivery-0-0")
    with pytest.raises(PeerGone, match=r"ActorDiedError|away"):
        await handles.call("delivery-0-0", "offer")
    cluster.names.append("delivery-0-0")
    cluster.answers.clear()
    assert await handles.call("delivery-0-0", "offer") == ("offer", ())


async def test_those_that_are_gone_are_forgotten(cluster: Cluster) -> None:
    handles = Handles(Questions(), {"delivery"})
    await handles.find()
    cluster.names.remove("delivery-1-0")
    await handles.find()
    with pytest.raises(PeerGone, match="away"):
        await handles.call("delivery-1-0", "offer")


async def test_a_control_service_that_is_away_is_asked_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.launch.handles.AHEAD_S", AHEAD_S / 1000)
    cluster.is_away = True
    handles = Handles(Questions(), {"delivery"})
    finding = asyncio.create_task(handles.keep_ahead())
    await asyncio.sleep(0.05)
    assert cluster.asked == []
    cluster.is_away = False
    async with asyncio.timeout(20):
        while len(cluster.asked) < 2:
            await asyncio.sleep(0.001)
    finding.cancel()


def test_who_calls_whom_is_in_the_table() -> None:
    assert called_by("supervisor") == frozenset(SPECS)
    for kind in SPECS:
        assert called_by(kind) <= frozenset(SPECS)
    assert called_by("delivery") == frozenset(), "a delivery actor calls no other actor"
