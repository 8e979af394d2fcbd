"""Makes a report: asks the questions one after the other, and puts the page together. ``postray report`` loads it as an
entry point (``cluster/entry_points.py``)."""

from collections.abc import Callable, Mapping
from datetime import datetime

from analytics.report import questions, sections
from analytics.report.page import page
from analytics.report.periods import Range
from analytics.report.questions import SAMPLED, Ask, Rows, asked, top
from analytics.report.sections import Section, Volumes

_NAMED = ("delivered", "bounced", "opens", "clicks", "complaints")


def make(
    ask: Ask,
    since: datetime,
    until: datetime,
    *,
    tenant_id: str = "",
    tenant_name: str = "",
    name_of: Callable[[str], str] = str,
    tell: Callable[[str], None] = lambda text: None,
) -> str:
    """The HTML page of a range. ``tenant_id``: of one tenant; "" of all, whose ids ``name_of`` gives names to. ``tell``
    is called before each question with what it is about. Raises what ``ask`` raises."""
    range = Range(since, until)

    def put(about: str, query: str, **parameters: str) -> Rows:
        tell(about)
        return ask(*asked(query, range, tenant_id, **parameters))

    def page_of(found: list[Section], volumes: Volumes, times: Rows) -> str:
        tiles = [] if volumes.is_empty else sections.tiles(volumes, times)
        return page(range, tenant_name or tenant_id or "All tenants", tiles, found)

    volumes = Volumes(range, put("volumes", questions.VOLUMES))
    if volumes.is_empty:
        return page_of([], volumes, ())
    sampled = max(1, round(volumes.sum("delivered") / SAMPLED))
    times = _with_whole(put("time to deliver", questions.TIMES, sampled=str(sampled)))
    sites = put("sites", top(questions.SITES, ("delivered", "bounced", "deferred"), ("delivered", "bounced")))
    classes = put("classes", questions.CLASSES)
    replies = put(
        "replies",
        top(questions.REPLIES, ("deferred", "bounced"), ("deferred", "bounced")),
        letters=str(questions.LETTERS_OF_REPLY),
    )
    tls = put("encryption", questions.ENCRYPTION)
    categories = put("categories", top(questions.CATEGORIES, _NAMED, ("delivered", "bounced")))
    found = [
        sections.volumes_by_period(range, volumes),
        sections.time_to_deliver(range, times, sampled),
        sections.sites(sites),
        sections.engagement(range, volumes),
        sections.classes(classes, of_deferrals=False),
        sections.classes(classes, of_deferrals=True),
        sections.replies(replies),
        sections.encryption(tls),
        sections.named("category", "Categories", "Of messages with a category.", "categories", categories, {}),
    ]
    if not tenant_id:
        tenants = put("tenants", top(questions.TENANTS, _NAMED, ("delivered", "bounced")))
        names: Mapping[str, str] = {row[1]: name_of(row[1]) for row in tenants if not row[0]}
        found.append(sections.named("tenant", "Tenants", "Whose mail it was.", "tenants", tenants, names))
    return page_of(found, volumes, times)


def _with_whole(times: Rows) -> Rows:
    """Without deliveries, the row of the whole range says nothing."""
    return [row for row in times if row[1]]
