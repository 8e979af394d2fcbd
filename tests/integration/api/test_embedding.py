"""Images that mail carries with it, for tenants whose ``image_embed_mode`` is ``cid``."""

from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from actors.compose.message import draft_message, finish
from actors.compose.mime import compile_content
from cluster.events import decode_batch
from cluster.journal.images import NewImage
from cluster.journal.records import NewRequest, decode_content, decode_personalization
from cluster.journal.templates import VersionFields
from cluster.templates.texts import TemplateTexts
from tests.images import png
from tests.integration.api.conftest import Site

LOGO = png(50, 40)


class Sender:
    """A client of a tenant that embeds images."""

    def __init__(self, site: Site, http: httpx.AsyncClient) -> None:
        self.site = site
        self.http = http

    async def image(self, content: bytes = LOGO) -> str:
        """The id of a new image, whose thumbnail is ``THUMBNAIL``."""
        new = _image(content, THUMBNAIL)
        return (await self.site.journal.images.create(self.site.tenant_id, new)).id

    async def send(self, html: str, count: int = 1, **fields: Any) -> NewRequest:
        people = [{"to": [{"email": f"u{n}@example.com"}]} for n in range(count)]
        body = {
            "personalizations": people,
            "from": {"email": "hello@mail.example.com"},
            "subject": "Welcome",
            "content": [{"type": "text/html", "value": html}],
            **fields,
        }
        response = await self.http.post("/v3/mail/send", json=body)
        assert response.status_code == 202, response.text
        return self.site.offered[-1]

    async def reasons(self) -> set[str]:
        """What the ``processed`` events say."""
        rows = await self.site.journal.event_log.after("recorder", 100)
        return {getattr(event, "reason", "") for row in rows for event in decode_batch(row.events)}


THUMBNAIL = png(20, 16)


@pytest.fixture
async def sender(site: Site) -> AsyncIterator[Sender]:
    await site.journal.tenants.change_settings(
        site.tenant_id, lambda settings: replace(settings, image_embed_mode="cid")
    )
    async with httpx.AsyncClient(base_url=site.url, headers=site.headers) as http:
        yield Sender(site, http)


def html_of(request: NewRequest) -> str:
    return decode_content(request.content).parts[0].value


async def test_an_image_is_attached_once_for_all_messages_and_reads_as_one(sender: Sender) -> None:
    id = await sender.image()
    links, tenant_id = sender.site.journal.branded_links, sender.site.tenant_id
    link = await links.create(tenant_id, "acme.example", "links", is_default=False, most=10)
    assert link is not None
    await links.checked(tenant_id, link.id, True, {})
    url = f"https://links.acme.example/i/{id}"
    html = (
        f'<a href="{url}"><img alt="a" src="{url}"></a><td background={url}>'
        f"<div style='background: url(&quot;{url}&quot;)'><img src='{url}?variant=thumbnail'></td>"
    )
    request = await sender.send(html, count=3)
    cid, small = f"cid:{id}@images.postray", f"cid:{id}.thumbnail@images.postray"
    assert html_of(request) == (
        f'<a href="{url}"><img alt="a" src="{cid}"></a><td background={cid}>'
        f"<div style='background: url(&quot;{cid}&quot;)'><img src='{small}'></td>"
    )
    assert sorted(request.attachments.values()) == sorted([LOGO, THUMBNAIL])
    assert await sender.reasons() == {""}


async def test_an_image_that_is_gone_keeps_its_url_and_the_timeline_says_so(sender: Sender) -> None:
    kept, gone = await sender.image(), await sender.image(png(51, 40))
    await sender.site.journal.images.delete(sender.site.tenant_id, gone)
    other = await sender.site.journal.tenants.create("other")
    made = await sender.site.journal.images.create(other, _image(png(10, 10), png(10, 10)))
    html = "".join(f'<img src="https://mail.postray.example/i/{id}">' for id in (kept, gone, made.id))
    request = await sender.send(html)
    assert html_of(request).count("cid:") == 1
    assert f"/i/{gone}" in html_of(request) and f"/i/{made.id}" in html_of(request)
    assert await sender.reasons() == {f"images keep their URLs; not in the image library: {gone}, {made.id}"}


async def test_only_images_on_hosts_of_the_tenant_are_embedded(sender: Sender) -> None:
    id = await sender.image()
    links, tenant_id = sender.site.journal.branded_links, sender.site.tenant_id
    await links.create(tenant_id, "acme.example", "unchecked", is_default=False, most=10)
    other = await sender.site.journal.tenants.create("other")
    theirs = await links.create(other, "other.example", "links", is_default=False, most=10)
    assert theirs is not None
    await links.checked(other, theirs.id, True, {})
    hosts = ("evil.example", "unchecked.acme.example", "links.other.example", "mail.postray.example.evil.example")
    html = "".join(f'<img src="https://{host}/i/{id}">' for host in hosts)
    request = await sender.send(f'{html}<img src="https://mail.postray.example/i/{id}">')
    assert html_of(request) == f'{html}<img src="cid:{id}@images.postray">'


async def test_what_finds_no_room_keeps_its_url(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [await sender.image(png(50 + n, 40)) for n in range(3)]
    monkeypatch.setattr("cluster.intake.embedding.MOST_EMBEDDED", 2)
    html = "".join(f'<img src="https://mail.postray.example/i/{id}">' for id in ids)
    request = await sender.send(html)
    assert (html_of(request).count("cid:"), len(request.attachments)) == (2, 2)
    assert await sender.reasons() == {f"images keep their URLs; no room for: {ids[2]}"}


async def test_it_is_sent_as_it_reads(sender: Sender) -> None:
    id = await sender.image()
    request = await sender.send(f'<p>-name-<img src="https://mail.postray.example/i/{id}"></p>')
    await sender.site.journal.images.delete(sender.site.tenant_id, id)
    content = decode_content(request.content)
    hashes = [one.sha256 for one in content.attachments]
    files = await sender.site.journal.messages.attachments(request.tenant_id, hashes)
    draft = draft_message(
        compile_content(content, files),
        decode_personalization(request.messages[0].personalization),
        None,
        message_id="<1@example.com>",
        date=request.created_at,
        signed_at=request.created_at,
    )
    mail = message_from_bytes(next(finish([draft])).data, policy=policy.default)
    assert mail.get_content_type() == "multipart/related"
    html, image = mail.iter_parts()
    assert f'src="cid:{id}@images.postray"' in html.get_content()
    assert (image["Content-ID"], image.get_content_disposition()) == (f"<{id}@images.postray>", "inline")
    assert (image.get_content(), image.get_filename()) == (LOGO, "logo.png")


async def test_a_template_names_the_images_that_its_mail_carries(sender: Sender) -> None:
    id = await sender.image()
    templates, tenant_id = sender.site.journal.templates, sender.site.tenant_id
    template = await templates.create(tenant_id, "news", "dynamic")
    url = f"https://mail.postray.example/i/{id}"
    texts = TemplateTexts(subject="Hi", html=f'{{{{#if a}}}}<img src="{url}">{{{{/if}}}}<img src="{url}{{{{b}}}}">')
    fields = VersionFields(name="v", editor="code", generate_plain_content=False, test_data="", texts=texts)
    await templates.add_version(tenant_id, template.id, fields)
    request = await sender.send("", content=None, template_id=template.id)
    content = decode_content(request.content)
    assert content.template is not None
    kept = await templates.texts(tenant_id, content.template.texts)
    html = f'{{{{#if a}}}}<img src="cid:{id}@images.postray">{{{{/if}}}}<img src="{url}{{{{b}}}}">'
    assert kept == replace(texts, html=html)
    assert [one.content_id for one in content.attachments] == [f"{id}@images.postray"]
    again = decode_content((await sender.send("", content=None, template_id=template.id)).content)
    assert again.template == content.template
    stored = await templates.version(tenant_id, template.id, None)
    assert stored is not None and stored.fields.texts == texts


async def test_mail_of_others_names_images_by_url(site: Site) -> None:
    async with httpx.AsyncClient(base_url=site.url, headers=site.headers) as http:
        sender = Sender(site, http)
        html = f'<img src="https://mail.postray.example/i/{await sender.image()}">'
        request = await sender.send(html)
    assert (html_of(request), request.attachments) == (html, {})


def _image(content: bytes, thumbnail: bytes) -> NewImage:
    return NewImage(
        filename="logo.png",
        original_filename="logo.png",
        content_type="image/png",
        content=content,
        width=50,
        height=40,
        alt_text="",
        folder="",
        thumbnail=thumbnail,
        thumbnail_type="image/png",
    )
