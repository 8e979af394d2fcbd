"""The attacks. To add one, add an entry here: any object with a name and a ``run``."""

from collections.abc import Callable, Mapping

from benchmarks.attacks import bodies
from benchmarks.attacks.attack import Attack, Request, Requests
from benchmarks.attacks.bodies import MEGABYTE
from benchmarks.attacks.connections import HalfOpenHeads, HugeHeads, Unread


def _requests(name: str, at_once: int, *make: Callable[[], Request]) -> tuple[str, Callable[[], Attack]]:
    return name, lambda: Requests(name, at_once, tuple(one() for one in make))


ATTACKS: Mapping[str, Callable[[], Attack]] = dict(
    [
        ("none", lambda: Requests("none", 0, ())),
        _requests("17 MB of personalizations", 1, lambda: Request(bodies.personalizations(1000, 180))),
        _requests("packed recipients", 8, lambda: bodies.packed(bodies.empty_recipients(6_500_000))),
        _requests("empty gzip members", 1, lambda: Request(bodies.empty_members(18 * MEGABYTE), encoding="gzip")),
        _requests("24 bodies of 19 MB", 24, lambda: Request(bodies.long_text(19 * MEGABYTE))),
        _requests("long categories", 1, lambda: Request(bodies.long_categories(60_000))),
        _requests("medium bodies", 32, lambda: Request(bodies.personalizations(1000, 2))),
        _requests(
            "many keys",
            4,
            lambda: Request(bodies.body(custom_args=bodies.keys(900_000))),
            lambda: Request(bodies.body(headers=bodies.keys(900_000))),
            lambda: Request(
                bodies.body(
                    personalizations=[{"to": [{"email": "u@b.example"}], "substitutions": bodies.keys(900_000)}]
                )
            ),
        ),
        _requests(
            "odd JSON",
            4,
            lambda: Request(bodies.nested(19 * MEGABYTE)),
            lambda: Request(bodies.digits(19 * MEGABYTE)),
            lambda: Request(b" " * 19 * MEGABYTE + b"{}"),
        ),
        _requests("attachments", 2, lambda: Request(bodies.attachments(9, 2 * MEGABYTE))),
        _requests(
            "commands",
            8,
            lambda: Request(b"[" * 19 * MEGABYTE, path="/v3/user/scheduled_sends"),
            lambda: Request(b'{"batch_id":"' + b"x" * 900_000 + b'"}', path="/v3/user/scheduled_sends"),
            lambda: Request(method="GET", path="/v3/messages?subject=" + "x" * 30_000),
        ),
        ("huge heads", HugeHeads),
        ("half-open heads", HalfOpenHeads),
        ("unread answers", Unread),
        _requests(
            "expansion",
            4,
            lambda: Request(
                bodies.body(
                    content=[{"type": "text/plain", "value": "a" * 30_000}],
                    personalizations=[{"to": [bodies.TO], "substitutions": {"a": "b" * 9990}}],
                )
            ),
        ),
    ]
)
