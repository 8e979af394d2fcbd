"""Stored messages with a template: how they are shown, and whether they are retried."""

from typing import Any

import msgspec
import pytest

from cluster.journal.records import Address, CommandResult, Content, MessagePage, PreparedPersonalization, encode
from cluster.policy.lifecycle import Status
from cluster.templates.texts import TemplateTexts, TemplateUse
from tests.unit.api.bodies import TEMPLATE
from tests.unit.api.conftest import World
from tests.unit.api.test_messages import keep, row

DYNAMIC = TemplateTexts(subject="Hi {{name}}", html="<b>{{name}}</b>{{#each a}}{{this}};{{/each}}", plain="{{{name}}}!")
LEGACY = TemplateTexts(generation="legacy", subject="Hi -name-", html="<b>-name- {{x}}</b>", plain="-name-!")
ENDLESS = TemplateTexts(subject="Hi", html="{{#each a}}{{#each ../a}}{{/each}}{{/each}}", plain="{{{name}}}!")
TEXTS = ("subject", "html_content", "plain_content")


def stored(
    world: World, texts: TemplateTexts | None, data: dict[str, Any], *, tenant_id: str = "tnt_acme", **fields: Any
) -> str:
    """The id of a message that is rendered from the texts; None: they are gone."""
    sha256 = repr(texts).encode()
    if texts is not None:
        world.journal.template_texts[tenant_id, sha256] = texts
    content = Content(
        from_=Address("hello@mail.example.com"),
        subject="Shared -name-",
        template_id=TEMPLATE,
        template=TemplateUse("v_1", sha256),
    )
    own = {"template_data": msgspec.json.encode(data) if data else b"", **fields.pop("own", {})}
    personalization = PreparedPersonalization(to=(Address("ada@example.com"),), **own)
    fields |= {"content": encode(content), "personalization": encode(personalization), "subject": "Hi as accepted"}
    return keep(world, row(tenant_id=tenant_id, **fields)).id


async def shown(world: World, id: str, key: str | None = None) -> dict[str, Any]:
    response = await world.request("GET", f"/v3/messages/{id}", key)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert answer["template_id"] == TEMPLATE
    return answer


@pytest.mark.parametrize(
    ("texts", "own", "made"),
    [
        (DYNAMIC, {}, ["Hi Ada & <Bo>", "<b>Ada &amp; &lt;Bo&gt;</b>1;18446744073709551616;", "Ada & <Bo>!"]),
        (LEGACY, {"substitutions": {"-name-": "<Ada>"}}, ["Hi <Ada>", "<b><Ada> {{x}}</b>", "<Ada>!"]),
        (TemplateTexts(subject=" ", html="<p>x</p>"), {"subject": "Own"}, ["Own", "<p>x</p>", None]),
        (TemplateTexts(plain="{{nothing}}"), {}, ["Shared -name-", None, ""]),
    ],
    ids=["dynamic", "legacy", "own subject", "shared subject"],
)
async def test_a_message_is_rendered_again(
    world: World, texts: TemplateTexts, own: dict[str, Any], made: list[str | None]
) -> None:
    answer = await shown(world, stored(world, texts, {"name": "Ada & <Bo>", "a": [1, 2**64]}, own=own))
    assert [answer[name] for name in TEXTS] == made
    assert "not_filled_in" not in answer


async def test_a_rendering_that_takes_long_is_finished(world: World) -> None:
    answer = await shown(world, stored(world, DYNAMIC, {"a": [1] * 20_000}))
    assert answer["html_content"] == "<b></b>" + "1;" * 20_000


@pytest.mark.parametrize("texts", [ENDLESS, None, TemplateTexts(html="{{#if}}")], ids=["endless", "gone", "faulty"])
async def test_a_rendering_that_fails_says_so(world: World, texts: TemplateTexts | None) -> None:
    answer = await shown(world, stored(world, texts, {"a": [0] * 1000}))
    assert [answer[name] for name in TEXTS] == ["Hi as accepted", None, None]
    assert answer["not_filled_in"] == ["html_content", "plain_content"]


async def test_another_tenants_texts_are_not_read(world: World) -> None:
    stored(world, DYNAMIC, {}, tenant_id="tnt_other")
    id = stored(world, DYNAMIC, {})
    del world.journal.template_texts["tnt_acme", repr(DYNAMIC).encode()]
    assert (await shown(world, id))["not_filled_in"] == ["html_content", "plain_content"]


async def test_a_key_without_the_scope_sees_the_subject_alone(world: World) -> None:
    key = world.journal.issue_key("mail.cancel")
    answer = await shown(world, stored(world, DYNAMIC, {"name": "Ada"}), key)
    assert [answer[name] for name in TEXTS] == ["Hi Ada", None, None]
    assert answer["content_withheld"] is True and "not_filled_in" not in answer


async def test_the_list_shows_the_subject_that_was_accepted(world: World) -> None:
    stored(world, DYNAMIC, {"name": "Ada"})
    world.journal.page = MessagePage(messages=list(world.journal.rows.values()), total=1, total_is_exact=True)
    (listed,) = (await world.request("GET", "/v3/messages")).json()["messages"]
    assert (listed["subject"], listed["template_id"]) == ("Hi as accepted", TEMPLATE)


@pytest.mark.parametrize(
    ("texts", "data", "reason"),
    [
        (ENDLESS, {"a": [0] * 1000}, "the template takes more than 100,000 steps"),
        (None, {}, "the version v_1 of its template cannot be read"),
        (TemplateTexts(subject="{{a}}"), {"a": "x" * 999}, "the subject has 999 bytes, more than 998"),
        (DYNAMIC, {}, None),
    ],
    ids=["endless", "gone", "subject", "good"],
)
async def test_a_retry_of_what_cannot_be_rendered(
    world: World, texts: TemplateTexts | None, data: dict[str, Any], reason: str | None
) -> None:
    error = "cannot be composed: for some reason"
    id = stored(world, texts, data, status=Status.FAILED, error_message=error)
    world.journal.change = CommandResult(done=True, status=Status.QUEUED)
    response = await world.request("POST", f"/v3/messages/{id}/retry")
    said = "Re-queued for delivery" if reason is None else f"The message cannot be composed: {reason}; retry ignored"
    assert (response.status_code, response.json()["message"]) == (200 if reason is None else 409, said)
