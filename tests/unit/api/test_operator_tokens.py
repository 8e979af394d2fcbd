"""Operators' tokens: which are admitted, what is noted of their use, and what a name may be."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from api.admin.access import Operators
from api.http.refusals import Unauthenticated
from cluster.journal.journal import Journal, Unavailable
from cluster.keys import is_operator_token, new_operator_token
from tests.unit.api.operating import TOKEN, Operating, OperationsDouble

PATH = "/api/admin/operator-tokens"


async def test_a_token_is_shown_once_and_admits_until_it_is_revoked(operating: Operating) -> None:
    made = await operating.client.post(PATH, json={"name": "console"})
    assert made.status_code == 201
    token = made.json()["token"]
    assert is_operator_token(token) and token.startswith(made.json()["prefix"])
    headers = {"Authorization": f"bearer {token}"}
    listed = await operating.client.get(PATH, headers=headers)
    assert listed.status_code == 200 and token not in listed.text
    assert listed.json()["tokens"][0]["name"] == "console"
    assert (await operating.client.delete(f"{PATH}/console")).json()["name"] == "console"
    assert (await operating.client.get(PATH, headers=headers)).status_code == 401
    assert (await operating.client.delete(f"{PATH}/console")).status_code == 404


@pytest.mark.parametrize(
    "name", ["", " ", "x" * 101, "a\0", "a\nb", "\x1b[31m", "a/b", "opt_01HXYZABCDEFGHJKMNPQRSTVWX"]
)
async def test_a_name_is_refused(operating: Operating, name: str) -> None:
    assert set(await operating.faults(await operating.client.post(PATH, json={"name": name}))) == {"name"}
    assert not operating.journal.tokens


async def test_a_name_that_is_in_use_is_refused_with_the_way_out(operating: Operating) -> None:
    await operating.client.post(PATH, json={"name": "console"})
    second = await operating.client.post(PATH, json={"name": "console"})
    assert second.status_code == 400
    assert "postray operator-token revoke" in second.json()["errors"][0]["help"]


@pytest.mark.parametrize("body", [{}, {"name": 1}, {"name": None}, [], "x"])
async def test_a_body_of_another_type_is_refused(operating: Operating, body: Any) -> None:
    assert (await operating.client.post(PATH, json=body)).status_code == 422


async def test_a_use_is_noted_once_in_a_minute() -> None:
    journal, now = OperationsDouble(), datetime(2026, 4, 23, 10, 0, 30, tzinfo=UTC)
    operators = Operators(TOKEN, cast(Journal, journal), clock=lambda: now)
    secret, prefix, hash = new_operator_token()
    made = await journal.operator_tokens.create("console", prefix=prefix, hash=hash, at=now)
    await operators.check(f"Bearer {secret}")
    minute = datetime(2026, 4, 23, 10, 0, tzinfo=UTC)
    assert journal.uses == [(made.id, minute)]
    journal.tokens[hash] = type(made)(
        **{name: getattr(made, name) for name in made.__struct_fields__[:4]}, last_used_at=minute
    )
    now += timedelta(seconds=29)
    await operators.check(f"Bearer {secret}")
    assert len(journal.uses) == 1
    now += timedelta(seconds=1)
    await operators.check(f"Bearer {secret}")
    assert journal.uses[1] == (made.id, minute + timedelta(minutes=1))


async def test_without_the_journal_only_the_derived_token_admits() -> None:
    journal = OperationsDouble()
    journal.broken = Unavailable("away")
    operators = Operators(TOKEN, cast(Journal, journal))
    await operators.check(f"Bearer {TOKEN}")
    with pytest.raises(Unavailable):
        await operators.check(f"Bearer {new_operator_token()[0]}")
    for wrong in ("Bearer é", "Bearer op_x", "Basic " + TOKEN, ""):
        with pytest.raises(Unauthenticated):
            await operators.check(wrong)
