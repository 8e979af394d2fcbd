"""Which opens and clicks are a program's, and by which rule. They are marked, never dropped. Pure.

Programs fetch what is in mail before and beside its readers: proxies for privacy, scanners that follow every link,
previews. A rule's name is what readers of events see.
"""

import re
from functools import lru_cache
from ipaddress import ip_network

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from cluster.access.terms import within
from cluster.policy.routes.networks import Network
from cluster.tracking.clients import Client

HEAD = "head"
"""A HEAD request: mail programs and browsers send GET."""
PREFETCH = "prefetch"
"""The request says that it fetches ahead."""
NO_USER_AGENT = "no_user_agent"
AT_DELIVERY = "at_delivery"
"""A click before the message was delivered, or so soon after it that only a scanner can have followed the link."""
CRAWLER = "crawler"
"""The name of such a rule goes on with the pattern that matched: ``crawler:Googlebot``."""

AT_DELIVERY_S = 1.0
"""A reader takes longer than this to open a message and follow a link."""
FRESH_S = 2.0
"""An unfinished delivery means that a click came before delivery only while the click is this fresh: later,
the outcome may be on its way to the journal."""
MOST_PATTERNS = 25
"""Joined in one expression."""

# The proxies of mail services, by what they say of themselves and, where they are published, by their addresses.
_PROXIES: tuple[tuple[str, re.Pattern[str] | None, tuple[Network, ...]], ...] = (
    # Mail Privacy Protection fetches all images when mail arrives, through Apple's relays, under this name alone.
    # https://support.apple.com/guide/mail/use-mail-privacy-protection-mlhl03be2866/mac
    ("apple_mail_privacy", re.compile(r"Mozilla/5\.0\Z"), (ip_network("17.0.0.0/8"),)),
    # https://developers.google.com/workspace/gmail/design/css and https://www.gstatic.com/ipranges/goog.json: the
    # networks of which only proxies of Google's services fetch.
    (
        "google_image_proxy",
        re.compile(r".*\b(?:GoogleImageProxy|ggpht\.com)", re.DOTALL),
        (ip_network("66.102.0.0/20"), ip_network("66.249.80.0/20")),
    ),
    # https://senders.yahooinc.com/developer/documentation/
    ("yahoo_mail_proxy", re.compile(r".*\bYahooMailProxy", re.DOTALL), ()),
)


def _joined(patterns: list[str]) -> list[tuple[re.Pattern[str], list[str]]]:
    """Expressions that each stand for some patterns, and these."""
    some = [patterns[start : start + MOST_PATTERNS] for start in range(0, len(patterns), MOST_PATTERNS)]
    return [(re.compile("|".join([f"(?:{one})" for one in each])), each) for each in some]


# https://github.com/monperrus/crawler-user-agents. The package's own search does not say quickly which pattern it was.
_CRAWLERS = _joined([one["pattern"] for one in CRAWLER_USER_AGENTS_DATA])


def machine_rule(client: Client) -> str:
    """The rule by which this client is a program; "" for a person, as far as it can be told from the request."""
    if client.method == "HEAD":
        return HEAD
    if client.is_ahead:
        return PREFETCH
    for name, expression, networks in _PROXIES:
        if expression is not None and expression.match(client.user_agent):
            return name
        if networks and not isinstance(client.address, str) and within(client.address, networks):
            return name
    return by_user_agent(client.user_agent)


@lru_cache(maxsize=4096)
def by_user_agent(user_agent: str) -> str:
    """The rule of a user agent: about 0.2 ms for one that was not met lately."""
    if not user_agent:
        return NO_USER_AGENT
    for joined, patterns in _CRAWLERS:
        if joined.search(user_agent):
            return f"{CRAWLER}:{next(one for one in patterns if re.search(one, user_agent))}"
    return ""


def is_at_delivery(clicked_at: float, delivered_at: float | None, is_unfinished: bool, now: float) -> bool:
    """Whether a click came before its message was delivered or within ``AT_DELIVERY_S`` of it. Times are seconds since
    the epoch. ``delivered_at``: None where it is not known; ``is_unfinished``: the delivery has no outcome ``now``."""
    if delivered_at is not None:
        return clicked_at <= delivered_at + AT_DELIVERY_S
    return is_unfinished and now <= clicked_at + FRESH_S
