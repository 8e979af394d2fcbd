"""POST /v3/mail/send with a template: which can be used, what may be said to it, and what is stored."""

from typing import Any

import msgspec
import pytest

from api.http import help_texts
from api.send.request import Mailbox, MailSend, Personalization
from api.send.validation import check
from cluster.journal.journal import Unavailable
from cluster.journal.records import decode_content, decode_personalization
from cluster.templates.texts import TemplateUse
from tests.unit.api.bodies import TEMPLATE, a_template, mail, templated, to
from tests.unit.api.conftest import World

DATA = "dynamic_template_data"


def keep(world: World, **changes: Any) -> None:
    """The tenant has a template."""
    world.journal.active_templates["tnt_acme", TEMPLATE] = a_template(**changes)


async def accepted(world: World, body: Any) -> str:
    """What the answer of an accepted request says was ignored."""
    response = await world.send(body)
    assert response.status_code == 202, response.text
    return str(response.headers.get("x-postray-ignored", ""))


async def test_messages_name_the_version_that_was_active(world: World) -> None:
    keep(world, use=TemplateUse("v_1", b"1" * 32))
    await accepted(world, templated())
    keep(world, use=TemplateUse("v_2", b"2" * 32))
    await accepted(world, templated())
    contents = [decode_content(request.content) for request in world.journal.requests]
    assert [content.template for content in contents] == [TemplateUse("v_1", b"1" * 32), TemplateUse("v_2", b"2" * 32)]
    assert {content.template_id for content in contents} == {TEMPLATE}
    assert {request.template_id for request in world.journal.requests} == {TEMPLATE}
    assert {content.parts for content in contents} == {()}


async def test_a_template_that_the_tenant_does_not_have(world: World) -> None:
    world.journal.active_templates["tnt_other", TEMPLATE] = a_template()
    for id in ("", "welcome", "d-", "d-unknown", "d-\0", "d-" + "é" * 26, TEMPLATE, TEMPLATE.lower()):
        assert await world.faults(templated() | {"template_id": id}) == [("template_id", "The template does not exist")]


async def test_a_template_without_an_active_version(world: World) -> None:
    keep(world, use=None, subject="")
    assert await world.faults(templated()) == [("template_id", "The template has no active version")]
    (error,) = (await world.send(templated())).json()["errors"]
    assert error["help"] == help_texts.ACTIVE_VERSION


async def test_content_beside_a_template(world: World) -> None:
    keep(world)
    assert await world.fields(mail(template_id=TEMPLATE)) == ["template_id"]


async def test_a_template_is_looked_up_beside_the_other_faults(world: World) -> None:
    body = templated(categories=[""], personalizations=[to("no-address"), to("a@example.com", **{DATA: {"a": "\0"}})])
    assert await world.fields(body) == ["personalizations[0].to[0].email", "template_id", "categories[0]"]
    keep(world)
    assert await world.fields(body) == [
        "personalizations[0].to[0].email",
        "categories[0]",
        f"personalizations[1].{DATA}",
    ]


async def test_a_sandbox_too_asks_for_the_template(world: World) -> None:
    key = world.journal.issue_key("mail.send", sandbox=True)
    assert (await world.send(templated(), key)).status_code == 400
    keep(world)
    assert (await world.send(templated(), key)).status_code == 202
    (request,) = world.journal.requests
    assert request.messages[0].sandbox
    assert decode_content(request.content).template is not None


async def test_without_a_journal_nothing_is_said_of_a_template(world: World) -> None:
    keep(world)
    await accepted(world, mail())  # the key and the tenant are known now
    world.journal.broken = Unavailable("away")
    response = await world.send(templated())
    assert response.status_code == 503 and response.headers["retry-after"]
    assert (await world.send(mail())).status_code == 202  # a request without a template asks for nothing


# Data


async def test_data_is_stored_as_it_was_given(world: World) -> None:
    keep(world)
    data = {"big": 2**200, "small": -(2**64), "half": 0.5, "none": None, "é\U0001f600": "{{x}}", "": {"": [{"n": 1}]}}
    await accepted(world, templated(personalizations=[to("a@example.com", **{DATA: data}), to("b@example.com")]))
    stored = [decode_personalization(m.personalization).template_data for m in world.journal.requests[0].messages]
    assert msgspec.json.decode(stored[0]) == data
    assert stored[1] == b""


async def test_data_is_an_object(world: World) -> None:
    keep(world)
    wrong: list[Any] = [[], [{}], "x", 1, True]
    for given in wrong:
        response = await world.send(templated(personalizations=[to("a@example.com", **{DATA: given})]))
        assert response.status_code == 422


def test_data_of_all_personalizations() -> None:
    """A body of 20 MB may hold more than 20 MB of data: 1e9 is written as 1000000000.0."""
    data = {"a": "x" * (1024 * 1024 - len('{"a":""}'))}
    own = [Personalization(to=[Mailbox(email=f"a{n}@example.com")], dynamic_template_data=data) for n in range(21)]
    body = MailSend(personalizations=own[1:], from_=Mailbox(email="a@mail.example.com"), template_id=TEMPLATE)
    assert check(body, template=a_template()).faults == []
    body.personalizations = own
    assert [fault.field for fault in check(body, template=a_template()).faults] == ["personalizations"]


@pytest.mark.parametrize("template", [None, {"generation": "legacy", "subject": "Hello -name-"}])
async def test_data_that_nothing_reads_is_named_and_not_stored(world: World, template: dict[str, Any] | None) -> None:
    if template is not None:
        keep(world, **template)
    body = (mail if template is None else templated)(personalizations=[to("a@example.com", **{DATA: {"a": "\0"}})])
    assert await accepted(world, body) == f"personalizations[0].{DATA}"
    (message,) = world.journal.requests[0].messages
    assert decode_personalization(message.personalization).template_data == b""


async def test_substitutions_are_not_for_a_dynamic_template(world: World) -> None:
    keep(world)
    own = [to("a@example.com", substitutions={}), to("b@example.com", substitutions={"-a-": "b"})]
    assert await world.fields(templated(personalizations=own)) == ["personalizations[1].substitutions"]
    keep(world, generation="legacy")
    await accepted(world, templated(personalizations=own))
    stored = decode_personalization(world.journal.requests[0].messages[1].personalization)
    assert stored.substitutions == {"-a-": "b"}


# The subject


async def test_the_templates_subject_wins(world: World) -> None:
    keep(world, generation="legacy", subject="Hello -name-")
    own = [
        to("a@example.com", subject="Own", substitutions={"-name-": "Ada\r\nBcc: x"}),
        to("b@example.com", substitutions={"-name-": "Bert"}),
        to("c@example.com"),
    ]
    said = await accepted(world, templated(personalizations=own) | {"subject": "Shared"})
    assert said == "subject,personalizations[0].subject"
    (request,) = world.journal.requests
    assert [message.subject for message in request.messages] == ["Hello Ada Bcc: x", "Hello Bert", "Hello -name-"]


async def test_a_dynamic_subject_is_rendered_at_acceptance(world: World) -> None:
    keep(world, subject="{{#each who}}{{this}}, {{/each}}your order {{number}} & {{{more}}}")
    own = [
        to("a@example.com", **{DATA: {"who": ["Ada", "<b>"], "number": 2**64, "more": "a\r\nBcc: x"}}),
        to("b@example.com"),
    ]
    await accepted(world, templated(personalizations=own))
    (request,) = world.journal.requests
    subjects = [message.subject for message in request.messages]
    assert subjects == ["Ada, <b>, your order 18446744073709551616 & a Bcc: x", "your order  & "]


async def test_a_subject_of_many_tags(world: World) -> None:
    keep(world, subject="{{a}}" * 100)
    await accepted(world, templated(personalizations=[to("a@example.com", **{DATA: {"a": "x"}})]))
    assert world.journal.requests[0].messages[0].subject == "x" * 100


async def test_a_subject_that_cannot_be_compiled(world: World) -> None:
    for subject in ("{{#if}}", "{{#if}}" * 20):
        keep(world, subject=subject)
        ((field, message),) = await world.faults(templated())
        assert field == "template_id" and "line 1, column 1" in message


async def test_a_subject_without_end(world: World) -> None:
    keep(world, subject="{{a}}")
    own = [to("a@example.com", **{DATA: {"a": "x" * 20_000}}), to("b@example.com", **{DATA: {"a": "x"}})]
    said = "The subject would have more than 16384 characters"
    assert await world.faults(templated(personalizations=own)) == [(f"personalizations[0].{DATA}", said)]


async def test_a_subject_of_comments_is_none(world: World) -> None:
    keep(world, subject="{{! none }}")
    assert await world.fields(templated()) == ["subject"]
    await accepted(world, templated(personalizations=[to("a@example.com", subject="Own")]))
    assert world.journal.requests[0].messages[0].subject == "Own"


async def test_a_subject_that_takes_too_much_is_listed_as_it_was_written(world: World) -> None:
    subject = "{{#each a}}{{#each ../a}}{{/each}}{{/each}}{{b}}"
    keep(world, subject=subject)
    many = [to(f"a{n}@example.com", **{DATA: {"a": [0] * 25, "b": "x"}}) for n in range(100)]
    own = [to("a@example.com", **{DATA: {"a": [0] * 10_000}}), *many]
    await accepted(world, templated(personalizations=own))
    subjects = [message.subject for message in world.journal.requests[0].messages]
    assert subjects[:2] == [subject, "x"]
    assert subjects[-1] == subject  # all of the request's steps are taken


async def test_a_template_without_a_subject_takes_the_requests(world: World) -> None:
    keep(world, subject=" ")
    own = [to("a@example.com", subject="Own"), to("b@example.com")]
    assert await accepted(world, templated(personalizations=own) | {"subject": "Shared"}) == ""
    (request,) = world.journal.requests
    assert [message.subject for message in request.messages] == ["Own", "Shared"]
    assert await world.fields(templated(personalizations=own)) == ["subject"]
    await accepted(world, templated(personalizations=own[:1]))


async def test_a_subject_that_is_too_long_once_it_is_filled(world: World) -> None:
    keep(world, generation="legacy", subject="é" * 480 + "-name-")
    fits = to("a@example.com", substitutions={"-name-": "x" * 38})
    over = to("b@example.com", substitutions={"-name-": "x" * 39})
    assert await world.fields(templated(personalizations=[fits, over])) == ["personalizations[1].substitutions"]
    await accepted(world, templated(personalizations=[fits]))
    keep(world, subject="é" * 480 + "{{name}}")
    own = [to("a@example.com", **{DATA: {"name": "x" * n}}) for n in (38, 39)]
    assert await world.fields(templated(personalizations=own)) == [f"personalizations[1].{DATA}"]
