"""The unsubscribe page as html: facts in, a page out. Pure. It has no scripts and loads nothing."""

from importlib import resources

from jinja2 import Environment

from api.unsubscribing.words import WORDS, Words
from cluster.journal.unsubscribing import Action, PageFacts

_TEMPLATE = Environment(autoescape=True, auto_reload=False).from_string(
    resources.files(__package__).joinpath("page.html").read_text()
)
USUAL_COLOUR = "#2457c5"

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",  # the URL of the page unsubscribes
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
    "vary": "Accept-Language",
}


def page(facts: PageFacts, address: str, language: str, done: Action | None = None, group_id: int | None = None) -> str:
    """A recipient's page, after ``done`` if something was done. A tenant's own text (landing) takes the place of what
    is said when the recipient has unsubscribed from all."""
    words = WORDS[language]
    group = next((one.name for one in facts.groups if one.id == group_id), "")
    names = {"sender": facts.tenant_name, "address": address, "group": group}
    own = facts.settings.unsubscribe_page
    said = _said(words, done).format_map(names) if done is not None else ""
    if done is Action.UNSUBSCRIBE_ALL and facts.settings.subscription.landing:
        said = facts.settings.subscription.landing
    colour = own.colour or USUAL_COLOUR
    return _TEMPLATE.render(
        language=language,
        title=f"{words.title}: {facts.tenant_name}",
        heading=facts.tenant_name,
        words=words,
        facts=facts,
        said=said,
        failed=False,
        state=(words.is_out if facts.is_unsubscribed else words.asks).format_map(names),
        own_text=own.text,
        colour=colour,
        on_colour=readable_on(colour),
    )


def failure(language: str, *, later: bool) -> str:
    """A page that says why nothing was done: the link is not valid, or (``later``) the journal is away."""
    words = WORDS[language]
    title = words.title if later else words.broken
    return _TEMPLATE.render(
        language=language,
        title=title,
        heading=title,
        words=words,
        facts=None,
        said=words.later if later else words.unknown,
        failed=True,
        colour=USUAL_COLOUR,
        on_colour=readable_on(USUAL_COLOUR),
    )


def readable_on(colour: str) -> str:
    """Black or white, whichever has more contrast on ``#rrggbb`` (WCAG 2.2, relative luminance)."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"


def _said(words: Words, done: Action) -> str:
    return {
        Action.UNSUBSCRIBE_ALL: words.done_all,
        Action.UNSUBSCRIBE_GROUP: words.done_group,
        Action.RESUBSCRIBE_ALL: words.back_all,
        Action.RESUBSCRIBE_GROUP: words.back_group,
    }[done]
