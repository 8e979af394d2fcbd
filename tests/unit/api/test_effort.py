"""What a request takes is estimated before: it sends the request to the event loop or to the worker."""

import json
from typing import Any

import msgspec
import pytest

from api.send.effort import MOST_S, NO_EFFORT, effort_of
from api.send.request import MailSend
from cluster.message.substitution import LOOP_S
from tests.unit.api.bodies import mail, to
from tests.unit.api.conftest import World

SLOW = "a" * 70
"""A key that contains a shorter key: keys like this take long."""


def request(texts: int, sets: list[dict[str, str]], **changes: Any) -> dict[str, Any]:
    people = [to(f"u{number}@example.com", substitutions=values) for number, values in enumerate(sets)]
    return mail(personalizations=people, content=[{"type": "text/plain", "value": "a" * texts}], **changes)


USUAL = [
    request(100_000, [{"-name-": f"n{number}", "-city-": "c"} for number in range(1000)], subject="To -name-"),
    request(3_000, [{f"-{key}-": "v" * 10 for key in range(15)} for _ in range(1000)], subject="-1-"),
    request(200_000, [{"{{x}}": "v"}]),
    request(1_000, [{f"-{number % 30}-": "v"} for number in range(1000)]),
    request(3_000, [{f"-{key}-": "v" * 30 for key in range(20)} for _ in range(1000)]),  # 900 KB
    mail(content=[{"type": "text/plain", "value": "a" * 900_000}]),
]
HOSTILE = [
    request(100_000, [{"a": "", f"{SLOW}b{number}": "x" * 1000} for number in range(300)]),
    request(200_000, [{f"k{number}": "v" * 100} for number in range(600)]),
    request(8_000, [{"a": "", f"{SLOW}b{number}": ""} for number in range(40)]),
    request(400_000, [{"a": "", f"{SLOW}b": "x"}]),
    request(10, [{"a": "", f"{SLOW}{'b' * 9_000}{number}": ""} for number in range(50)]),
    request(10, [{"a": "", f"{SLOW}b": ""} for _ in range(300)], subject="a" * 900),
]


CROWDED = [
    mail(custom_args={"a": [[]] * 40_000}),
    mail(custom_args={"a": [[[[[]]]]] * 20_000}),
    mail(custom_args={f"{number}": 1 for number in range(70_000)}),
]
"""Bodies of 120 to 900 KB with more values than an event loop should decode."""


@pytest.mark.parametrize("body", USUAL)
async def test_what_people_send_is_taken_by_the_event_loop(world: World, body: dict[str, Any]) -> None:
    assert (await world.send(body)).status_code == 202
    assert not world.large.bodies


@pytest.mark.parametrize("body", HOSTILE)
async def test_what_takes_long_to_check_is_the_workers(world: World, body: dict[str, Any]) -> None:
    assert effort_of(msgspec.convert(body, MailSend)).seconds > LOOP_S
    response = await world.send(body)
    assert response.status_code in (202, 400), response.text
    assert len(world.large.bodies) == 1


@pytest.mark.parametrize("body", CROWDED)
async def test_many_values_are_the_workers(world: World, body: dict[str, Any]) -> None:
    assert (await world.send(body)).status_code in (202, 400)
    assert len(world.large.bodies) == 1


async def test_many_domains_to_be_spelled_are_the_workers(world: World) -> None:
    people = [to(*(f"u@bücher{number}.example" for number in range(start, start + 50))) for start in (0, 50, 100)]
    for escaped in (True, False):
        content = json.dumps(mail(personalizations=people), ensure_ascii=escaped).encode()
        assert (await world.send(content)).status_code == 202
    assert len(world.large.bodies) == 2
    few = mail(personalizations=people[:1], subject="é" * 100)
    assert (await world.send(few)).status_code == 202
    assert len(world.large.bodies) == 2


def test_without_substitutions_there_is_none() -> None:
    assert effort_of(msgspec.convert(mail(), MailSend)) is NO_EFFORT


def test_shared_keys_are_made_ready_once() -> None:
    one, many = (
        effort_of(msgspec.convert(request(10_000, [{"-name-": "x"}] * count), MailSend)) for count in (1, 1000)
    )
    assert one == many


def test_keys_that_nothing_should_wait_for() -> None:
    sets = [{"a": "", f"{SLOW}{'b' * 9_000}{number}": ""} for number in range(1000)]
    assert effort_of(msgspec.convert(request(10, sets), MailSend)).keys_s > MOST_S
