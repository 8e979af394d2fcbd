"""Embeds images of the library into a request's mail, for tenants whose ``image_embed_mode`` is ``cid``.

A request's html names images by URL. Here the images become inline attachments of the request, once for all of its
messages, and their URLs become ``cid:`` URLs: in the content, in the footer and in the texts of a template's version,
whose changed texts are stored as others are. An image that is not there, or finds no room, keeps its URL and fails
nothing; the ``processed`` event says so. The URLs that come with the data of a message stay.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from cluster.images.names import filename_for
from cluster.images.urls import IsOwn, Shown, embedded, may_show, own_hosts, shown_in
from cluster.journal.images import StoredImage
from cluster.journal.journal import Journal
from cluster.journal.records import Attachment, BodyPart, Content, NewRequest, decode_content, encode
from cluster.message.transfer_encoding import base64_length, octets
from cluster.templates.texts import TemplateTexts

MOST_EMBEDDED = 50
"""Images of one request."""
HTML = "text/html"


async def embed_images(journal: Journal, request: NewRequest, most_bytes: int, base_url: str) -> NewRequest:
    """The request with its images embedded: those on hosts of the tenant's links, and of ``base_url``, which is that of
    the installation. With the files and texts of the request, they take at most half of
    ``most_bytes``, the limit of a message, so that what is filled in has room. Raises Unavailable."""
    if request.template_id is None and not may_show(request.content):
        return request  # as most are
    content = decode_content(request.content)
    texts = None
    if content.template is not None:
        texts = await journal.templates.texts(request.tenant_id, content.template.texts)
    htmls = [html for html in _htmls(content, texts) if may_show(html)]
    if not htmls:
        return request
    is_own = own_hosts(await journal.branded_links.hosts(request.tenant_id), base_url)
    shown = list(dict.fromkeys(one for html in htmls for one in shown_in(html, is_own)))
    if not shown:
        return request
    stored = await journal.images.stored(request.tenant_id, {one.id for one in shown})
    own = [*map(len, request.attachments.values()), *(octets(part.value) for part in content.parts)]
    room = most_bytes // 2 - sum(map(base64_length, own))
    chosen = _chosen(shown, stored, room)
    files = await journal.images.contents(request.tenant_id, {stored[one.id].file_of(one)[0] for one in chosen})
    attachments = {one: _attachment(one, stored[one.id], files) for one in chosen}
    found = {one: attachment for one, attachment in attachments.items() if attachment is not None}
    content = _with_images(content, is_own, found)
    if texts is not None and content.template is not None and found:
        changed = replace(texts, html=embedded(texts.html, is_own, found.__contains__))
        kept = await journal.templates.keep_texts(request.tenant_id, changed)
        content = replace(content, template=replace(content.template, texts=kept))
    return replace(
        request, content=encode(content), attachments=request.attachments | files, remark=_remark(shown, found, stored)
    )


def _htmls(content: Content, texts: TemplateTexts | None) -> Iterable[str]:
    yield from (part.value for part in content.parts if part.type == HTML)
    if content.footer is not None:
        yield content.footer.html
    if texts is not None:
        yield texts.html


def _chosen(shown: Sequence[Shown], stored: Mapping[str, StoredImage], room: int) -> list[Shown]:
    """Those that are there and for which there is room, the first ones first."""
    chosen = []
    for one in shown[:MOST_EMBEDDED]:
        if (image := stored.get(one.id)) is None:
            continue
        size = base64_length(image.file_of(one)[1])
        if size <= room:
            room -= size
            chosen.append(one)
    return chosen


def _attachment(shown: Shown, image: StoredImage, files: Mapping[bytes, bytes]) -> Attachment | None:
    """None where the image was deleted a moment ago."""
    sha, _, content_type = image.file_of(shown)
    if sha not in files:
        return None
    return Attachment(
        filename=filename_for(image.filename, content_type),
        type=content_type,
        inline=True,
        content_id=shown.content_id,
        sha256=sha,
        size=len(files[sha]),
    )


def _with_images(content: Content, is_own: IsOwn, found: Mapping[Shown, Attachment]) -> Content:
    parts = tuple(
        BodyPart(part.type, embedded(part.value, is_own, found.__contains__)) if part.type == HTML else part
        for part in content.parts
    )
    footer = content.footer
    if footer is not None:
        footer = type(footer)(footer.text, embedded(footer.html, is_own, found.__contains__))
    return replace(content, parts=parts, footer=footer, attachments=(*content.attachments, *found.values()))


def _remark(shown: Sequence[Shown], found: Mapping[Shown, Attachment], stored: Mapping[str, StoredImage]) -> str:
    """What the timeline says of images that are not embedded; "" when all are."""
    left = [one for one in shown if one not in found]
    gone = dict.fromkeys(one.id for one in left if one.id not in stored)
    large = dict.fromkeys(one.id for one in left if one.id in stored)
    said = []
    if gone:
        said.append(f"not in the image library: {', '.join(list(gone)[:MOST_EMBEDDED])}")
    if large:
        said.append(f"no room for: {', '.join(list(large)[:MOST_EMBEDDED])}")
    return f"images keep their URLs; {'; '.join(said)}" if said else ""
