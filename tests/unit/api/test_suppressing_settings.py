"""POST /v3/mail/send: unsubscribe groups, and what passes suppression lists."""

from typing import Any

import pytest

from cluster.journal.journal import Unavailable
from cluster.journal.records import decode_content
from cluster.suppression.lists import Bypass
from tests.unit.api.bodies import mail
from tests.unit.api.conftest import World

NO_GROUP = "The unsubscribe group does not exist"


async def test_messages_name_their_group(world: World) -> None:
    world.journal.groups = {("tnt_acme", id) for id in (7, 8, 2**31 - 1)}
    for asm in (
        {"group_id": 7},
        {"group_id": 7, "groups_to_display": [8, 7, 2**31 - 1]},
        {"group_id": 8, "groups_to_display": None},
    ):
        response = await world.send(mail(asm=asm))
        assert response.status_code == 202, response.text
        request = world.journal.requests[-1]
        assert request.group_id == asm["group_id"]
        assert decode_content(request.content).asm == {name: value for name, value in asm.items() if value is not None}
    assert (await world.send(mail())).status_code == 202
    assert (world.journal.requests[-1].group_id, decode_content(world.journal.requests[-1].content).asm) == (None, None)


@pytest.mark.parametrize(
    ("asm", "faults"),
    [
        ({}, [("asm.group_id", "The unsubscribe group is required")]),
        ({"group_id": None, "groups_to_display": []}, [("asm.group_id", "The unsubscribe group is required")]),
        ({"groups_to_display": [7]}, [("asm.group_id", "The unsubscribe group is required")]),
        ({"group_id": 9}, [("asm.group_id", NO_GROUP)]),
        ({"group_id": 0}, [("asm.group_id", NO_GROUP)]),
        ({"group_id": -7}, [("asm.group_id", NO_GROUP)]),
        ({"group_id": 2**63}, [("asm.group_id", NO_GROUP)]),
        (
            {"group_id": 7, "groups_to_display": [7, 9, 2**70]},
            [("asm.groups_to_display[1]", NO_GROUP), ("asm.groups_to_display[2]", NO_GROUP)],
        ),
        ({"group_id": 7, "groups_to_display": [7] * 26}, [("asm.groups_to_display", "At most 25 groups")]),
    ],
)
async def test_groups_must_exist(world: World, asm: Any, faults: list[tuple[str, str]]) -> None:
    world.journal.groups = {("tnt_acme", 7), ("tnt_other", 9)}
    assert await world.faults(mail(asm=asm)) == faults


@pytest.mark.parametrize("asm", [{"group_id": "7"}, {"group_id": 7.5}, {"group_id": 7, "groups_to_display": 7}, [], 7])
async def test_a_group_of_a_wrong_type_is_a_422(world: World, asm: Any) -> None:
    assert (await world.send(mail(asm=asm))).status_code == 422


async def test_a_group_cannot_be_checked_while_the_journal_is_away(world: World) -> None:
    world.journal.broken = Unavailable("gone")
    response = await world.send(mail(asm={"group_id": 7}))
    assert (response.status_code, "retry-after" in response.headers) == (503, True)


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        ((), None),
        (("list",), Bypass.ALL),
        (("spam",), Bypass.SPAM_REPORTS),
        (("bounce",), Bypass.BOUNCES),
        (("unsubscribe",), Bypass.UNSUBSCRIBES),
        (("spam", "bounce", "unsubscribe"), Bypass.SPAM_REPORTS | Bypass.BOUNCES | Bypass.UNSUBSCRIBES),
    ],
)
async def test_what_passes_lists(world: World, on: tuple[str, ...], expected: Bypass | None) -> None:
    names = ("list", "spam", "bounce", "unsubscribe")
    switches = {f"bypass_{name}_management": {"enable": name in on} for name in names}
    assert (await world.send(mail(mail_settings=switches))).status_code == 202
    assert world.journal.requests[-1].bypass == expected


@pytest.mark.parametrize("other", ["spam", "bounce", "unsubscribe"])
async def test_list_management_is_passed_with_no_other(world: World, other: str) -> None:
    switches = {f"bypass_{name}_management": {"enable": True} for name in ("list", other)}
    assert await world.fields(mail(mail_settings=switches)) == ["mail_settings.bypass_list_management"]
