"""Checks of what endpoints are set up with. Pure."""

import ipaddress
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from api.http.refusals import Fault
from api.http.texts import check_no_control, check_text
from cluster.policy.routes.networks import Networks
from cluster.webhooks.endpoints import ALL, EVENT_NAMES

LONGEST_URL = 2000
LONGEST_NAME = 100
LONGEST_CATEGORY = 255
MOST_FILTERS = 100
"""Categories, and keys, of one endpoint."""
URL_HELP = "Such as https://hooks.example.com/events; http is taken too, but then others can read the events"
EVENTS_HELP = f'One or more of {", ".join(EVENT_NAMES)}, or ["*"] for all'


def check_url(url: str | None, where: str, networks: Networks, faults: list[Fault]) -> None:
    """Check where events are to be posted to. A host's addresses are checked when it is connected to; here, only one
    that is written as an address."""
    if not url:
        faults.append(Fault("The URL is required", where, URL_HELP))
        return
    fault = _url_fault(url, networks)
    if fault is not None:
        faults.append(Fault(fault, where, URL_HELP))


def _url_fault(url: str, networks: Networks) -> str | None:
    if len(url) > LONGEST_URL:
        return f"At most {LONGEST_URL} characters"
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "Not a URL: it has characters that must be percent-encoded"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "Not a URL"
    if parts.scheme not in ("http", "https") or not host or port == 0:
        return "Not a URL of http or https"
    if parts.username is not None or parts.password is not None:
        return "A URL may not contain a user name or a password"
    if "#" in url:
        return "A URL to post to has no fragment"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    return networks.refusal(host)


def check_name(name: str, where: str, faults: list[Fault]) -> None:
    """Check what an endpoint is called."""
    check_text(name, where, faults, longest=LONGEST_NAME)
    check_no_control(name, where, faults)


def check_events(events: Sequence[str] | None, where: str, faults: list[Fault]) -> None:
    """Check the names of events."""
    if not events:
        faults.append(Fault("At least one event is required", where, EVENTS_HELP))
        return
    for index, name in enumerate(events):
        if name != ALL and name not in EVENT_NAMES:
            faults.append(Fault("There is no such event", f"{where}[{index}]", EVENTS_HELP))


def check_filter(texts: Sequence[str], where: str, faults: list[Fault]) -> None:
    """Check the categories, or the keys, whose events are wanted."""
    if len(texts) > MOST_FILTERS:
        faults.append(Fault(f"At most {MOST_FILTERS}", where))
        return
    for index, text in enumerate(texts):
        check_text(text, f"{where}[{index}]", faults, longest=LONGEST_CATEGORY)


def check_keys(ids: Sequence[str], known: Collection[str], where: str, faults: list[Fault]) -> None:
    """Check that keys exist."""
    for index, id in enumerate(ids):
        if id not in known:
            faults.append(Fault("The API key does not exist", f"{where}[{index}]"))
