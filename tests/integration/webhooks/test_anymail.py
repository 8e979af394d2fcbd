"""django-anymail's tracking view for SendGrid, in a real Django, takes our posts, with its signature checks on."""

import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
import pytest
from anymail.signals import tracking
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from msgspec.structs import replace

from actors.webhooks.client import Client
from actors.webhooks.poster import Poster
from cluster.lookup.resolver import Resolver
from cluster.policy.routes.mx import UNGUARDED
from cluster.policy.routes.networks import networks
from cluster.settings import DnsSettings
from cluster.webhooks.bundles import OwedEvent
from cluster.webhooks.endpoints import Dialect
from cluster.webhooks.signing import new_key_pair
from tests.integration.webhooks.world import an_endpoint
from tests.unit.analytics.samples import by_name, every_kind
from tests.webhooks import VAULT

# Anymail no longer tests against SendGrid itself.
pytestmark = pytest.mark.filterwarnings("ignore:django-anymail has dropped")

PRIVATE, PUBLIC = new_key_pair()
PATH = "/anymail/sendgrid/tracking/"
EXPECTED = {
    "processed": "queued",
    "deferred": "deferred",
    "delivered": "delivered",
    "bounce": "bounced",
    "blocked": "bounced",
    "dropped": "rejected",
    "open": "opened",
    "click": "clicked",
    "spam_report": "complained",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
    "group_resubscribe": "subscribed",
}
"""Anymail's names of our events."""


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is written to standard error."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """A Django with Anymail's URLs; its address."""
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        SECRET_KEY="a test",
        INSTALLED_APPS=["anymail"],
        ROOT_URLCONF="tests.integration.webhooks.anymail_urls",
        ANYMAIL={"SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": PUBLIC},
        USE_TZ=True,
        LOGGING_CONFIG=None,
    )
    django.setup()
    server = make_server("127.0.0.1", 0, WSGIHandler(), handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
async def poster() -> AsyncIterator[Poster]:
    client = Client(
        Resolver(DnsSettings(), clock=time.monotonic, random=lambda: 0.5, guard=UNGUARDED),
        networks(allowed=("127.0.0.0/8",)),
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        timeout_s=10,
    )
    poster = Poster(client, VAULT, clock=time.monotonic)
    yield poster
    await client.close()


async def test_each_event_is_understood(site: str, poster: Poster) -> None:
    heard: list[Any] = []

    def note(sender: Any, event: Any, esp_name: str, **kwargs: Any) -> None:
        heard.append(event)

    tracking.connect(note, weak=False)
    endpoint = an_endpoint("tnt_1", f"{site}{PATH}", dialect=Dialect.SENDGRID)
    endpoint = replace(endpoint, sealed_secret=VAULT.seal(PRIVATE), public_key=PUBLIC)
    events = [
        OwedEvent(event=event, sequence=number, smtp_id="<m@example.com>", custom_args={"order": "17"})
        for number, event in enumerate(every_kind(), 1)
    ]
    try:
        answer = await poster.post_events(endpoint, events)
    finally:
        tracking.disconnect(note)
    assert answer.result.status == 200, answer
    names = list(by_name())
    assert [event.event_type for event in heard] == [EXPECTED[name] for name in names]
    for event, ours in zip(heard, every_kind(), strict=True):
        assert event.event_id == ours.id
        assert event.recipient == ours.recipient
        assert event.message_id == "<m@example.com>"
        assert event.timestamp == datetime.fromtimestamp(int(ours.at), UTC)
        assert event.metadata["order"] == "17"
        assert list(event.tags) == list(ours.categories)
    by_type = dict(zip(names, heard, strict=True))
    assert by_type["click"].click_url == "https://example.com/a"
    assert by_type["delivered"].mta_response == "250 2.0.0 OK"


async def test_a_post_that_another_key_signed_is_refused(site: str, poster: Poster) -> None:
    other, _ = new_key_pair()
    endpoint = an_endpoint("tnt_1", f"{site}{PATH}", dialect=Dialect.SENDGRID)
    for forged in (replace(endpoint, sealed_secret=VAULT.seal(other)), endpoint):
        answer = await poster.post_events(forged, [OwedEvent(event=every_kind()[0])])
        assert answer.result.status == 400
