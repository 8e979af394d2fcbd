"""When a message on which delivery actors crash is set aside, and when its whole request is."""

import pytest

from cluster.policy.limits.strikes import CONTENT, OTHERS, OWN, SetAside, SetAsideScope, Strike, decide, reason_for

MESSAGE = SetAside(SetAsideScope.MESSAGE, OWN)


def on(message_id: str, *lives: int, shared: bool = False) -> list[Strike]:
    return [Strike(life, message_id, shared) for life in lives]


@pytest.mark.parametrize(
    ("strikes", "expected"),
    [
        ([], None),
        (on("a", 1), None),
        (on("a", 1) + on("a", 1), None),
        (on("a", 1, 2), MESSAGE),
        (on("a", 1) + on("b", 2), None),
        (on("a", 1) + on("b", 2, 3), None),
        (on("a", 1, 2) + on("b", 3), MESSAGE),
        (on("a", 1) + on("a", 2, shared=True), MESSAGE),
        (on("a", 1, 2) + on("b", 3, 4), SetAside(SetAsideScope.REQUEST, OWN)),
        (on("b", 1, 2) + on("c", 3, 4) + on("a", 5), SetAside(SetAsideScope.REQUEST, OTHERS)),
        (on("a", 1, shared=True), None),
        (on("a", 1, 2, shared=True), SetAside(SetAsideScope.REQUEST, CONTENT)),
        (on("b", 1, shared=True) + on("a", 2, shared=True), SetAside(SetAsideScope.REQUEST, CONTENT)),
    ],
)
def test_what_follows_from_the_strikes_of_a_request(strikes: list[Strike], expected: SetAside | None) -> None:
    assert decide(strikes, "a") == expected


def test_each_message_is_given_the_reason_that_is_its_own() -> None:
    assert reason_for(SetAside(SetAsideScope.REQUEST, OWN), "a", "a") == OWN
    assert reason_for(SetAside(SetAsideScope.REQUEST, OWN), "b", "a") == OTHERS
    assert reason_for(SetAside(SetAsideScope.REQUEST, CONTENT), "b", "a") == CONTENT
