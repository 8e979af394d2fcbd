"""Makes the HTML of pages from templates, and has the files that pages load. Whatever a template is given is escaped,
and has no characters that hide or turn text."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response
from litestar.datastructures import Cookie
from markupsafe import Markup
from msgspec import Struct

from analytics import charts
from api.console.requests import SAID_COOKIE, cookie, new_cookie
from api.console.sessions import LoggedIn
from api.console.tables import Button, Facts, Field, Table
from api.console.words import moment, number
from cluster.printable import printable_lines

HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # With no-referrer, browsers would send forms with the origin "null".
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Of every answer of the console."""
LONGEST_SAID = 500
SAID_S = 30


class Place(Struct, frozen=True):
    """An entry of the navigation. ``detail``: the page of one of what its page lists."""

    path: str
    name: str
    detail: str = ""


PLACES: Sequence[Place] = (
    Place("/", "Now"),
    Place("/sites", "Sites", "/site"),
    Place("/messages", "Messages", "/message"),
    Place("/batches", "Batches", "/batch"),
    Place("/tenants", "Tenants", "/tenant"),
    Place("/domains", "Domains", "/domain"),
    Place("/suppressions", "Suppressions"),
    Place("/webhooks", "Webhooks", "/webhook"),
    Place("/sources", "Sources"),
    Place("/sql", "SQL"),
    Place("/storage", "Storage"),
    Place("/audit", "Audit", "/audited"),
)


class File(Struct, frozen=True):
    """What a page loads."""

    body: bytes
    media_type: str


class Pages:
    """The templates and files."""

    def __init__(self) -> None:
        own = files("api.console") / "static"
        chart_style = Path(charts.__file__).with_name("style.css").read_bytes()
        self.files: Mapping[str, File] = {
            "console.css": File(chart_style + (own / "console.css").read_bytes(), "text/css"),
            "console.js": File((own / "console.js").read_bytes(), "text/javascript"),
            "icon.svg": File((own / "icon.svg").read_bytes(), "image/svg+xml"),
        }
        version = sha256(b"".join(file.body for file in self.files.values())).hexdigest()[:12]
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).with_name("templates")),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            finalize=_visible,
        )
        self._environment.globals |= {"places": PLACES, "version": version, "query": query}
        self._environment.filters |= {"number": number, "moment": moment}

    def html(self, template: str, **values: Any) -> str:
        """The HTML of a template, also of a part of a page."""
        return self._environment.get_template(f"{template}.html").render(**values)

    def page(
        self,
        request: Request[Any, Any, Any],
        template: str,
        *,
        session: LoggedIn | None,
        status: int = 200,
        cookies: Sequence[Cookie] = (),
        **values: Any,
    ) -> Response[str]:
        """An answer. What the last form has said is shown once."""
        said = unquote(cookie(request, SAID_COOKIE)) if session is not None else ""
        taken = [new_cookie(request, SAID_COOKIE, "", max_age_s=0)] if said else []
        html = self.html(template, session=session, here=request.url.path, said=said[:LONGEST_SAID], **values)
        return Response(html, status_code=status, media_type="text/html", cookies=[*cookies, *taken])

    def lists(
        self,
        request: Request[Any, LoggedIn, Any],
        title: str,
        *,
        fields: Sequence[Field] = (),
        facts: Sequence[Facts] = (),
        buttons: Sequence[Button] = (),
        tables: Sequence[Table] = (),
    ) -> Response[str]:
        """A page of facts and tables. ``fields`` narrow what it lists; ``buttons`` are for its first facts."""
        return self.page(
            request,
            "lists",
            session=request.auth,
            title=title,
            fields=fields,
            facts=facts,
            buttons=buttons,
            tables=tables,
        )


def said_cookie(request: Request[Any, Any, Any], text: str) -> Cookie:
    """The cookie that has the next page say what became of a form."""
    return new_cookie(request, SAID_COOKIE, quote(text[:LONGEST_SAID]), max_age_s=SAID_S)


def query(path: str, **parameters: str | int | None) -> str:
    """A link with parameters; those that are None or empty are left out."""
    given = {name: value for name, value in parameters.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def _visible(value: Any) -> Any:
    return printable_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value
