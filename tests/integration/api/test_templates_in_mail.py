"""Mail with a template over a real journal: by the API's process and by the worker."""

from typing import Any

import httpx
import msgspec

from cluster.journal.templates import VersionFields
from cluster.templates.texts import TemplateTexts
from tests.integration.api.conftest import Site
from tests.unit.api.bodies import mail, to


async def a_version(site: Site, template_id: str, greeting: str) -> None:
    texts = TemplateTexts(subject=greeting + " {{name}}", html="<p>{{name}}</p>", plain="{{name}}, {{number}}")
    new = VersionFields(name=greeting, editor="code", generate_plain_content=False, test_data="", texts=texts)
    assert await site.journal.templates.add_version(site.tenant_id, template_id, new, is_active=True)


async def test_messages_keep_the_version_they_were_accepted_with(site: Site) -> None:
    template = await site.journal.templates.create(site.tenant_id, "welcome", "dynamic")
    data: dict[str, Any] = {"name": "Ada & Bo", "number": 2**64}

    def body() -> bytes:
        own = to("ada@example.org", dynamic_template_data=data)
        request = mail(content=None, subject=None, template_id=template.id, personalizations=[own])
        return msgspec.json.encode(request)

    async with httpx.AsyncClient(base_url=site.url, headers=site.headers, timeout=60) as client:

        async def sent(content: bytes) -> str:
            response = await client.post("/v3/mail/send", content=content)
            assert response.status_code == 202, response.text
            id: str = response.json()["message_id"]
            return id

        refused = await client.post("/v3/mail/send", content=body())
        assert refused.json()["detail"] == "template_id: The template has no active version"
        await a_version(site, template.id, "Hello")
        hello = [await sent(body()), await sent(body() + b" " * 1_200_000)]  # the worker takes the second one
        await a_version(site, template.id, "Bye")
        bye = await sent(body())
        assert await site.journal.templates.delete(site.tenant_id, template.id)
        assert (await client.post("/v3/mail/send", content=body())).status_code == 400
        for id, greeting in ((hello[0], "Hello"), (hello[1], "Hello"), (bye, "Bye")):
            shown = (await client.get(f"/v3/messages/{id}")).json()
            assert (shown["subject"], shown["template_id"]) == (f"{greeting} Ada & Bo", template.id)
            assert shown["html_content"] == "<p>Ada &amp; Bo</p>"
            assert shown["plain_content"] == "Ada & Bo, 18446744073709551616"
        found = (await client.get("/v3/messages", params={"template_id": template.id, "subject": "hello ada &"})).json()
        assert [(one["id"], one["subject"]) for one in found["messages"]] == [
            (id, "Hello Ada & Bo") for id in reversed(hello)
        ]
