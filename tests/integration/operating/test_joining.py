"""``postray up`` in a cluster whose actors live already, and in one whose actors have ended; without Ray."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cluster import starting
from cluster.context import Context, Facts
from cluster.installation.private_files import make_data_dir
from cluster.installation.rotation import rotate
from cluster.journal.fence import Fence
from cluster.journal.journal import Journal
from cluster.launch import places, together
from cluster.peers import PeerGone
from cluster.policies import PolicyFiles
from cluster.policy.forms import FORMS
from cluster.policy.placement import Living, Node, Place
from cluster.settings import PostgresSettings, RaySettings, Settings
from cluster.starting import ROTATED, DidNotStart
from cluster.tenancy.granting import add_verified_domain
from cluster.up import Postray
from cluster.vault import KeyRing, Vault, find_ring, secret_key
from tests.integration.journal.builders import a_tenant

SHAPING = '[[rule]]\nname = "x"\nsite = ["mx.example.com"]\nconnections = 3\n'


class Cluster:
    """What Ray says, and what it is told to start."""

    def __init__(self, data_dir: Path, dsn: str) -> None:
        self.data_dir = data_dir
        self.dsn = dsn
        self.living = ["supervisor", "delivery-0-0"]
        self.problem = ""
        self.started: list[str] = []
        self.called: list[str] = []
        self.installation: str | None = None
        """The journal that the actors tell they work with."""
        self.forms = FORMS
        self.brought_back: list[str] = []

    def tell(self, names: Sequence[str]) -> list[tuple[str, int]]:
        assert list(names) == self.living
        return [(self.installation, self.forms)] if self.installation is not None else []

    def call(self, name: str, method: str, node_ids: list[str]) -> None:
        assert (name, method) == ("supervisor", "bring_back")
        self.brought_back += node_ids

    def look(self, roles: Sequence[str]) -> Facts:
        if self.problem:
            raise PeerGone("ray", self.problem)
        return Facts(nodes=(Node(id="n", cpus=8.0),), living=tuple(Living(name, "n") for name in self.living))

    def start(self, missing: Sequence[Place], names: Sequence[str], context: Context) -> Sequence[str]:
        self.started += [place.name for place in missing]
        self.called += names
        return names

    async def up(self, shaping: str = SHAPING) -> Postray:
        postray = Postray(
            Settings(
                data_dir=str(self.data_dir),
                demo=False,
                ray=RaySettings(address="auto"),
                postgres=PostgresSettings(dsn=self.dsn),
            )
        )
        await postray._place(self.dsn, PolicyFiles(shaping, ""), lambda _: None)
        return postray


@pytest.fixture
async def cluster(tmp_path: Path, journal_dsn: str, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    data_dir = tmp_path / "data"
    make_data_dir(data_dir)
    cluster = Cluster(data_dir, journal_dsn)
    monkeypatch.setattr(places, "look", cluster.look)
    monkeypatch.setattr(places, "here", lambda: "n")
    monkeypatch.setattr(together, "start", cluster.start)
    monkeypatch.setattr(together, "identities", cluster.tell)
    monkeypatch.setattr(together, "call", cluster.call)
    cluster.installation = await journal.singletons.installation_id()
    return cluster


async def a_sealed_value(journal: Journal, data_dir: Path) -> None:
    await add_verified_domain(journal, Vault(secret_key("", data_dir)), await a_tenant(journal), "mail.example.com")


async def sealed(journal: Journal) -> list[bytes]:
    return [value.content for value in await journal.sealed.used(10)]


def ring(data_dir: Path) -> KeyRing:
    found = find_ring("", "", data_dir)
    assert found is not None
    return found


async def version(journal: Journal) -> Any:
    active = await journal.policies.active()
    return active and active.shaping


async def test_where_a_supervisor_lives_a_later_release_migrates_and_what_its_actors_know_stays_in_force(
    cluster: Cluster, journal: Journal
) -> None:
    await a_sealed_value(journal, cluster.data_dir)
    with psycopg.connect(cluster.dsn, autocommit=True) as connection:
        # A release that is later than that of the actors has one migration more.
        connection.execute("DELETE FROM migrations WHERE name = '0029_draining_nodes.sql'")
        connection.execute("DROP TABLE draining_nodes")
        await cluster.up()
        assert connection.execute("SELECT count(*) FROM draining_nodes").fetchone() == (0,)
    assert await version(journal) is None
    assert (cluster.started, cluster.called) == ([], cluster.living)
    assert cluster.brought_back == ["n"], "nodes of this machine that were taken out"


async def test_where_none_lives_policies_are_in_force_before_it_starts(cluster: Cluster, journal: Journal) -> None:
    await a_sealed_value(journal, cluster.data_dir)
    cluster.living = ["delivery-0-0"]
    await cluster.up()
    assert await version(journal) == SHAPING
    assert "supervisor" in cluster.started and "delivery-0-0" not in cluster.started


@pytest.mark.parametrize("living", [["supervisor", "delivery-0-0"], ["delivery-0-0"]])
async def test_after_a_rotation_the_actors_must_end_first(
    living: list[str], cluster: Cluster, journal: Journal
) -> None:
    await a_sealed_value(journal, cluster.data_dir)
    cluster.living = living
    rotate(cluster.data_dir)
    rotated = ring(cluster.data_dir)
    before = await sealed(journal)
    with pytest.raises(DidNotStart) as refused:
        await cluster.up()
    assert str(refused.value) == ROTATED
    assert await sealed(journal) == before
    assert ring(cluster.data_dir) == rotated, "the former secret is still needed"
    assert cluster.called == []

    cluster.living = []
    await cluster.up()
    current = Vault(rotated.current)
    assert all(current.is_current(value) for value in await sealed(journal))
    # Now all is sealed with the new secret, and a second `up` joins while the former one is still in the file.
    assert ring(cluster.data_dir).former
    cluster.living = ["supervisor", "delivery-0-0"]
    await cluster.up()


async def test_a_node_without_the_secret_does_not_make_another(cluster: Cluster, journal: Journal) -> None:
    with pytest.raises(DidNotStart, match=r"secret\.key is missing"):
        await cluster.up()
    assert find_ring("", "", cluster.data_dir) is None


async def test_ray_that_does_not_answer_is_named(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.problem = "no answer"
    with pytest.raises(DidNotStart, match="ray: no answer"):
        await cluster.up()
    cluster.problem = ""
    monkeypatch.setattr(places, "here", lambda: "gone")
    with pytest.raises(DidNotStart, match="this machine's node gone is not alive any more"):
        await cluster.up()


@pytest.mark.parametrize("living", [["supervisor", "delivery-0-0"], ["delivery-0-0"]])
async def test_actors_of_another_journal_are_not_joined(living: list[str], cluster: Cluster) -> None:
    cluster.living, cluster.installation = living, "00000000-0000-0000-0000-000000000000"
    with pytest.raises(DidNotStart, match="another postray runs in this cluster of Ray, with another journal"):
        await cluster.up()
    cluster.installation = None
    with pytest.raises(DidNotStart, match="do not answer"):
        await cluster.up()
    assert (cluster.started, cluster.brought_back) == ([], [])


async def test_a_journal_that_is_new_is_another_one(cluster: Cluster) -> None:
    with psycopg.connect(cluster.dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE installation")
    with pytest.raises(DidNotStart, match="with another journal"):
        await cluster.up()


async def test_a_postray_in_another_cluster_of_ray_is_waited_for_and_named(
    cluster: Cluster, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.living = []
    epoch = await journal.singletons.begin("supervisor", "mail7", 4711)
    fence = Fence(kind="supervisor", epoch=epoch, on_fenced=lambda _: None)
    other = Journal(cluster.dsn, application="supervisor", fence=fence)
    await other.open()
    monkeypatch.setattr(starting, "FORMER_S", 0.2)
    with pytest.raises(DidNotStart, match="works with this journal: its supervisor runs on mail7, pid 4711"):
        await cluster.up()
    assert cluster.started == []
    await other.close()


async def test_nodes_of_this_machine_are_brought_back_and_others_stay_out(cluster: Cluster, journal: Journal) -> None:
    await journal.left_nodes.leave("n", ["n", "other"])
    await journal.left_nodes.leave("other", ["n", "other"])
    cluster.living = ["delivery-0-0"]
    await cluster.up()
    assert await journal.left_nodes.all() == {"other"}
    await journal.left_nodes.leave("n", ["n"])
    assert await journal.left_nodes.all() == {"n"}, "those that live no more are forgotten"


@pytest.mark.parametrize("living", [["supervisor"], []])
async def test_what_cannot_move_is_said(living: list[str], cluster: Cluster, journal: Journal) -> None:
    await a_sealed_value(journal, cluster.data_dir)
    cluster.living = living
    assert (await cluster.up()).cannot_move == ["recorder"]
