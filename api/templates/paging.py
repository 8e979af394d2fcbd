"""Pages of templates: which one a request asks for, and where the others are. Pure."""

from collections.abc import Sequence
from typing import cast
from urllib.parse import urlencode

from msgspec import UNSET, Struct, UnsetType, field

from api.http import help_texts
from api.http.refusals import Fault, Invalid
from api.templates.views import TemplateSummary
from cluster.ids import is_id
from cluster.journal.templates import GENERATIONS, TemplateRecord
from cluster.templates.texts import Generation

LARGEST_PAGE = 200
MOST_VERSIONS_LISTED = 3000
"""A page ends before a template whose versions would make more; it has one template at least."""
_AFTER, _BEFORE = "after.", "before."


class PageLinks(Struct, frozen=True, kw_only=True):
    """The URLs of this page and its neighbours, where there are any."""

    self: str
    prev: str | UnsetType = UNSET
    next: str | UnsetType = UNSET
    count: int
    """The number of templates on all pages."""


class TemplatePage(Struct, frozen=True, kw_only=True):
    """A page of templates, the oldest first."""

    result: list[TemplateSummary]
    metadata: PageLinks = field(name="_metadata")


class Wanted(Struct, frozen=True, kw_only=True):
    """The page that a request asks for: the first templates after an id, or the last ones before one."""

    generations: tuple[Generation, ...]
    size: int
    after: str = ""
    before: str | None = None

    @property
    def is_backwards(self) -> bool:
        return self.before is not None

    @property
    def is_first(self) -> bool:
        return not self.after and not self.is_backwards


def wanted_page(generations: str | None, size: int, token: str | None) -> Wanted:
    """Raises Invalid for an unknown generation, and for a token that is none of ours."""
    faults: list[Fault] = []
    names = tuple(name.strip() for name in generations.split(",")) if generations is not None else GENERATIONS
    if not set(names) <= set(GENERATIONS):
        faults.append(Fault(f"It is {', '.join(GENERATIONS)} or both, with a comma between", "generations"))
    after, before = "", None
    if token:
        id = token.removeprefix(_AFTER).removeprefix(_BEFORE)
        if not token.startswith((_AFTER, _BEFORE)) or not is_id("d-", id):
            faults.append(Fault("This is no token of a page", "page_token", help_texts.TEMPLATES))
        after, before = (id, None) if token.startswith(_AFTER) else ("", id)
    if faults:
        raise Invalid(faults)
    return Wanted(generations=cast("tuple[Generation, ...]", names), size=size, after=after, before=before)


def cut(found: Sequence[tuple[TemplateRecord, int]], size: int) -> tuple[list[TemplateRecord], bool]:
    """The templates of a page, and whether there are more. ``found`` has one more than a page, where there is one, each
    with the number of its versions."""
    page: list[TemplateRecord] = []
    versions = 0
    for template, count in found[:size]:
        versions += count
        if page and versions > MOST_VERSIONS_LISTED:
            break
        page.append(template)
    return page, len(page) < len(found)


def links(wanted: Wanted, page: Sequence[TemplateRecord], is_more: bool, count: int, url: str) -> PageLinks:
    """``page`` is in the order of ids. ``is_more`` says whether there are more in the direction of the page. ``url`` is
    that of the list."""

    def link(token: str | None) -> str:
        query = {"generations": ",".join(wanted.generations), "page_size": wanted.size}
        return f"{url}?{urlencode(query | ({'page_token': token} if token else {}), safe=',')}"

    if wanted.is_backwards:
        own, has_prev, has_next = f"{_BEFORE}{wanted.before}", is_more, bool(page)
    else:
        own, has_prev, has_next = f"{_AFTER}{wanted.after}", bool(page) and not wanted.is_first, is_more
    return PageLinks(
        self=link(None if wanted.is_first else own),
        prev=link(f"{_BEFORE}{page[0].id}") if has_prev else UNSET,
        next=link(f"{_AFTER}{page[-1].id}") if has_next else UNSET,
        count=count,
    )
