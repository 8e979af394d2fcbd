"""The text about what a stop waits for."""

from cluster.installation.stopping import StopProgress, sentence


def test_the_hosts_and_the_messages_are_named() -> None:
    assert sentence({}, 60) == ""
    assert sentence({"mx.example.com": 1}, 60) == (
        "waiting for mx.example.com to answer for 1 message sent in full, 60 s at most; a second signal ends the wait"
    )
    many = sentence({"a.test": 1, "b.test": 3, "c.test": 1, "d.test": 1, "e.test": 1}, 5)
    assert many.startswith("waiting for b.test, a.test, c.test and 2 more to answer for 7 messages sent in full, 5 s")


def test_the_same_is_said_once() -> None:
    said: list[str] = []
    waiting = StopProgress(60, said.append, lambda: False)
    for unanswered in ({}, {"a.test": 2}, {"a.test": 2}, {}, {"a.test": 1}):
        waiting.tell(unanswered)
    assert [line.split(" sent")[0] for line in said] == [
        "waiting for a.test to answer for 2 messages",
        "waiting for a.test to answer for 1 message",
    ]
