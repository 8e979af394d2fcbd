"""Ray's control service is away: ``postray up`` and ``down`` go on noticing signals, and say what is the matter."""

import threading
import time

import pytest

from cluster.launch import asking, looking, places, ray_node
from cluster.launch.asking import Question, RayAway, asked
from cluster.launch.looking import Looking, RayEnded
from cluster.peers import PeerGone

MAX_WAIT_S = 20.0


class Service:
    """It answers while it is there."""

    def __init__(self) -> None:
        self.is_there = threading.Event()
        self.is_there.set()
        self.questions = 0
        self.names = ["supervisor"]
        self.is_alive = True

    def ask(self) -> bool:
        self.questions += 1
        assert self.is_there.wait(MAX_WAIT_S)
        return self.is_alive

    def ask_names(self) -> list[str]:
        assert self.is_there.wait(MAX_WAIT_S)
        return self.names


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = Service()
    monkeypatch.setattr(ray_node, "is_alive", service.ask)
    monkeypatch.setattr(places, "names", service.ask_names)
    monkeypatch.setattr(looking, "LOOK_S", 0.05)
    return service


def refuse(text: str) -> None:
    raise ValueError(text)


def test_a_question_has_its_answer_or_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked("ray", "{}!".format, "yes") == "yes!"
    with pytest.raises(ValueError, match="no"):
        asked("ray", refuse, "no")
    until = threading.Event()
    late = Question(until.wait, MAX_WAIT_S)
    with pytest.raises(RayAway, match=r"supervisor: .* does not answer within 0 s"):
        late.answer("supervisor", 0.05)
    until.set()
    assert late.answer("supervisor", MAX_WAIT_S), "it goes on"


def test_a_question_to_a_ray_that_has_ended_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "has_ended", lambda: True)
    until, began = threading.Event(), time.monotonic()
    with pytest.raises(RayAway, match="Ray has ended"):
        asked("ray", until.wait, MAX_WAIT_S)
    until.set()
    assert time.monotonic() - began < MAX_WAIT_S / 2


def test_while_it_does_not_answer_nothing_is_known_to_have_ended(service: Service) -> None:
    up = Looking(is_in_place=False)
    assert up.look()
    service.is_there.clear()
    assert all(up.look() for _ in range(5))
    assert service.questions == 2, "no more than one waits"
    service.names = []
    service.is_there.set()
    until = time.monotonic() + MAX_WAIT_S
    while up.look():
        assert time.monotonic() < until
    assert Looking(is_in_place=True).look(), "in place the actors end with this process only"


def test_a_ray_that_has_ended_is_told(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.is_alive = False
    with pytest.raises(RayEnded, match="Ray ended"):
        Looking(is_in_place=True).look()
    service.is_alive = True
    monkeypatch.setattr(looking, "has_ended", lambda: True)
    with pytest.raises(RayEnded, match="nothing is lost"):
        Looking(is_in_place=True).look()


def test_a_ray_that_refuses_to_answer_is_told(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def names() -> list[str]:
        raise PeerGone("ray", "no token")

    monkeypatch.setattr(places, "names", names)
    with pytest.raises(PeerGone, match="no token"):
        Looking(is_in_place=False).look()
