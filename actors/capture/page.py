"""The page on which a person reads captured mail, and the same as JSON.

This module owns the HTTP handlers and the protection of the reader: mail may be hostile. A message's HTML is only
served with a CSP that sandboxes it and loads nothing from elsewhere, and the page shows it in a sandboxed frame. All
other content is escaped, with control and bidi characters shown by their numbers, or offered as a download. It never
changes a message. ``CaptureSink`` serves it.
"""

import asyncio
import ipaddress
import logging
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import jinja2
from litestar import Litestar, MediaType, Request, Response, delete, get
from litestar.datastructures import MutableScopeHeaders
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import PathParameter, QueryParameter
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Template
from litestar.template import TemplateConfig
from litestar.types import Message, Scope
from markupsafe import Markup
from msgspec import Struct

from actors.capture import mime_view
from actors.capture.accepted import AcceptedMessages
from actors.capture.digest import links_of
from actors.capture.store import MessageStore
from actors.capture.tables import Captured
from cluster.http.application import Application
from cluster.journal.database import Unavailable
from cluster.printable import printable_lines

log = logging.getLogger(__name__)

_PAGE_SIZE = 50
_SEARCH_PATIENCE_S = 2.0
"""How long a page reads messages that no search has read before. The page asks again by itself."""
_OPENED_LINKS = ("https://", "http://", "mailto:")
_SHOWN_SOURCE = 512 * 1024
"""Octets in the source view; the download is complete."""
_SHOWN_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/svg+xml", "image/avif")

_MISSING = "There is no such message. It may have been deleted, or pushed out by newer ones."

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-DNS-Prefetch-Control": "off",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_MAIL_CSP = (
    "sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""For all content of a message. ``sandbox`` applies even when it is opened outside the frame."""

_MessageId = Annotated[int, PathParameter(ge=1)]
_PageNumber = Annotated[int, QueryParameter(ge=1, le=1_000_000)]
_PageSize = Annotated[int, QueryParameter(ge=1, le=1000)]
_AcceptedId = Annotated[str, PathParameter(max_length=100)]
_PartNumber = Annotated[int, PathParameter(ge=0)]
_ViewName = Annotated[str, QueryParameter(max_length=20)]
_Search = Annotated[str, QueryParameter(max_length=500)]
_Width = Annotated[str, QueryParameter(max_length=20)]


class MailSummary(Struct, frozen=True):
    id: int
    received_at: datetime
    mail_from: str
    rcpt_to: list[str]
    subject: str
    size: int
    tls_version: str
    message_id: str
    """Of the accepted message that was delivered; "" for other mail."""
    unread: bool


class Summaries(Struct, frozen=True):
    messages: list[MailSummary]
    total: int


class Detail(Struct, frozen=True):
    message: Captured
    headers: list[mime_view.Header]
    text: str | None
    html: str | None
    parts: list[mime_view.MimePart]


class Deleted(Struct, frozen=True):
    deleted: int


Store = NamedDependency[MessageStore]
Accepted = NamedDependency[AcceptedMessages | None]


@get("/")
async def show_list(store: Store, search: _Search = "", page: _PageNumber = 1) -> Template:
    found = await store.list_messages(
        search=search.strip(),
        page=page,
        page_size=_PAGE_SIZE,
        patience_s=_SEARCH_PATIENCE_S,
        with_digests=True,
    )
    pages = max(1, -(-found.total // _PAGE_SIZE))
    links = {
        name: "/?" + urlencode({"search": search, "page": number})
        for name, number in (("newer", page - 1), ("older", page + 1))
        if 1 <= number <= pages
    }
    first = (page - 1) * _PAGE_SIZE + 1
    return _render("list.html", found=found, search=search, links=links, first=first, today=datetime.now(UTC).date())


@get("/messages/{message_id:int}")
async def show_message(
    store: Store, accepted: Accepted, message_id: _MessageId, view: _ViewName = "", width: _Width = ""
) -> Template:
    message, raw = await _find(store, message_id)
    content = await asyncio.to_thread(mime_view.view, raw)
    found = await asyncio.to_thread(links_of, content)
    if message.unread:
        await store.mark_read(message_id)
    offered = [name for name, has in (("html", content.html), ("text", content.text)) if has is not None]
    offered += ["links", "headers", "source"]
    targets = await accepted.targets(link.url for link in found) if accepted is not None and view == "links" else {}
    return _render(
        "message.html",
        message=message,
        content=content,
        view=view if view in offered else offered[0],
        offered=offered,
        on_phone=width == "phone",
        links=found,
        targets=targets,
        opened_links=_OPENED_LINKS,
        shows_accepted=accepted is not None,
        attachments=[part for part in content.parts if not part.inline],
        signatures=[mime_view.dkim_tags(h.value) for h in content.headers if h.name.lower() == "dkim-signature"],
        source=raw[:_SHOWN_SOURCE].decode("utf-8", "replace") if view == "source" else "",
        truncated=len(raw) > _SHOWN_SOURCE,
    )


@get("/accepted/{accepted_id:str}")
async def show_accepted(store: Store, accepted: Accepted, accepted_id: _AcceptedId) -> Template:
    """The accepted message of captured mail: its state and its timeline."""
    try:
        message = await accepted.find(accepted_id) if accepted is not None else None
    except Unavailable as error:
        log.warning("a message cannot be shown message=%s reason=%r", accepted_id, error.reason)
        detail = "Postgres does not answer, so the message cannot be shown now. Captured mail can be read all the same."
        page = _render("missing.html", status_code=503, title="Not now", detail=detail)
        page.headers["Retry-After"] = "5"
        return page
    if message is None:
        raise NotFoundException("There is no such message. It may have been erased.")
    mail = await store.list_messages(of=accepted_id, page_size=_PAGE_SIZE)
    return _render("accepted.html", message=message, mail=mail)


@get("/messages/{message_id:int}/html")
async def show_html(store: Store, message_id: _MessageId) -> Response[str]:
    """The message's own HTML, for the frame."""
    _, raw = await _find(store, message_id)
    content = await asyncio.to_thread(mime_view.view, raw)
    if content.html is None:
        raise NotFoundException("this message has no HTML")
    html = mime_view.link_images(content.html, content.parts, f"/messages/{message_id}/parts/")
    return Response(html, media_type=MediaType.HTML, headers={"Content-Security-Policy": _MAIL_CSP})


@get("/messages/{message_id:int}/parts/{number:int}")
async def get_part(store: Store, message_id: _MessageId, number: _PartNumber) -> Response[bytes]:
    """One part, decoded. Images are shown; every other type is a download."""
    _, raw = await _find(store, message_id)
    found = await asyncio.to_thread(mime_view.part, raw, number)
    if found is None:
        raise NotFoundException("this message has no such part")
    part = found.part
    is_image = part.inline and part.content_type in _SHOWN_IMAGES
    name = part.filename or f"message-{message_id}-part-{number}"
    return Response(
        found.content,
        media_type=part.content_type if is_image else "application/octet-stream",
        headers={
            "Content-Disposition": _disposition("inline" if is_image else "attachment", name),
            "Content-Security-Policy": _MAIL_CSP,
        },
    )


@get("/messages/{message_id:int}/raw")
async def get_raw(store: Store, message_id: _MessageId) -> Response[bytes]:
    _, raw = await _find(store, message_id)
    return Response(
        raw,
        media_type="message/rfc822",
        headers={
            "Content-Disposition": _disposition("attachment", f"message-{message_id}.eml"),
            "Content-Security-Policy": _MAIL_CSP,
        },
    )


@get("/api/messages")
async def list_messages(
    store: Store,
    search: _Search = "",
    recipient: _Search = "",
    page: _PageNumber = 1,
    page_size: _PageSize = _PAGE_SIZE,
) -> Summaries:
    found = await store.list_messages(search=search, recipient=recipient, page=page, page_size=page_size)
    summaries = [
        MailSummary(
            m.id, m.received_at, m.mail_from, m.rcpt_to, m.subject, m.size, m.tls_version, m.message_id, m.unread
        )
        for m in found.messages
    ]
    return Summaries(summaries, found.total)


@get("/api/messages/{message_id:int}")
async def get_message(store: Store, message_id: _MessageId) -> Detail:
    message, raw = await _find(store, message_id)
    content = await asyncio.to_thread(mime_view.view, raw)
    return Detail(message, content.headers, content.text, content.html, content.parts)


@delete("/api/messages", status_code=200)
async def delete_messages(store: Store) -> Deleted:
    """Another site's page cannot make a browser send DELETE here: that needs CORS, which this page does not allow."""
    return Deleted(await store.delete_all())


@delete("/api/messages/{message_id:int}", status_code=200)
async def delete_message(store: Store, message_id: _MessageId) -> Deleted:
    """As above."""
    if not await store.delete(message_id):
        raise NotFoundException(_MISSING)
    return Deleted(1)


def create_app(store: MessageStore, loopback_only: bool = True, accepted: AcceptedMessages | None = None) -> Litestar:
    """``loopback_only``: the page is bound to loopback, so requests for other names are refused (see ``_guard``).
    Only then it shows ``accepted`` messages."""
    shown = accepted if loopback_only else None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters["bytes"] = _size
    environment.filters["person"] = mime_view.person
    return Application(
        route_handlers=[
            show_list,
            show_message,
            show_accepted,
            show_html,
            get_part,
            get_raw,
            list_messages,
            get_message,
            delete_messages,
            delete_message,
        ],
        dependencies={
            "store": Provide(lambda: store, sync_to_thread=False),
            "accepted": Provide(lambda: shown, sync_to_thread=False),
        },
        template_config=TemplateConfig(instance=JinjaTemplateEngine.from_environment(environment)),
        before_request=_guard if loopback_only else None,
        before_send=[_shield],
        after_exception=[_log_failure],
        exception_handlers={NotFoundException: _not_found},
        openapi_config=None,
        logging_config=None,
    )


def _guard(request: Request[Any, Any, Any]) -> Response[str] | None:
    """Refuses other host names: a site whose name resolves to 127.0.0.1 could read the mail (DNS rebinding)."""
    host = (request.url.hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost") or _is_address(host):
        return None
    return Response("this page answers to localhost only", media_type=MediaType.TEXT, status_code=421)


async def _shield(message: Message, scope: Scope) -> None:
    """Adds the headers to every response, including errors. A response without a CSP gets the strictest."""
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders.from_message(message)
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)


async def _log_failure(error: Exception, scope: Scope) -> None:
    """Logs errors that are not the client's fault."""
    if not isinstance(error, HTTPException) or error.status_code >= 500:
        log.error("a page cannot be made path=%r", scope["path"], exc_info=error)


def _visible(value: Any) -> Any:
    """Makes every text that a template inserts visible, so that a message can neither hide text nor reverse its
    surroundings."""
    return printable_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _not_found(request: Request[Any, Any, Any], error: NotFoundException) -> Response[Any]:
    if request.url.path.startswith("/api/"):
        return Response({"detail": error.detail}, status_code=404)
    return _render("missing.html", status_code=404, title="Not found", detail=error.detail)


async def _find(store: MessageStore, message_id: int) -> tuple[Captured, bytes]:
    message, raw = await store.get(message_id), await store.raw(message_id)
    if message is None or raw is None:
        raise NotFoundException(_MISSING)
    return message, raw


def _render(name: str, status_code: int = 200, **context: Any) -> Template:
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
        "frame-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": policy}
    return Template(name, context={**context, "nonce": nonce}, headers=headers, status_code=status_code)


def _disposition(kind: str, filename: str) -> str:
    """RFC 6266: an ASCII name for all clients, and the real one for those that support RFC 8187."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_. ") else "_" for c in filename)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _size(octets: int) -> str:
    if octets < 1000:
        return f"{octets} B"
    return f"{octets / 1000:.1f} kB" if octets < 1_000_000 else f"{octets / 1_000_000:.1f} MB"
