"""Facts about sites and messages, as actors and the journal give them: the least that a test needs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from api.admin.explanation import MessageFacts
from cluster.journal.fates import Fate, RecipientState
from cluster.journal.records import Address, PreparedPersonalization, encode
from cluster.journal.suspensions import Suspension
from cluster.policy.lifecycle import Status
from cluster.routing.site_state import Held, LastReply, SiteState
from cluster.routing.views import SourceState

NOW = datetime(2026, 4, 23, 10, 0, 0, tzinfo=UTC)
MESSAGE = "msg_01HXYZ00000000000000000000"


def ahead(**by: float) -> datetime:
    return NOW + timedelta(**by)


def a_state(site: str = "example.com", **said: Any) -> SiteState:
    facts: dict[str, Any] = {
        "actor": "delivery-0-0",
        "source": "",
        "site": site,
        "share": 0,
        "shares": 1,
        "waiting": 0,
        "in_flight": 0,
        "connections": 0,
        "connection_limit": 20,
        "message_rate": 0.0,
        "accepted": 0,
        "deferred": 0,
        "bounced": 0,
        "accepted_per_s": 0.0,
        "waits_for": "",
        "until": 0.0,
        "adjustments": (),
        "last_replies": (),
    }
    return SiteState(**facts | said)


def a_reply(text: str = "250 OK", at: datetime = NOW, kind: str = "accepted") -> LastReply:
    return LastReply(at=at.timestamp(), host="mx1.example.com", text=text, kind=kind)


def a_suspension(site: str = "example.com", tenant_id: str = "", **said: Any) -> Suspension:
    facts: dict[str, Any] = {"until": ahead(hours=1), "reason": "", "made_by": "operator", "created_at": NOW}
    return Suspension(site=site, tenant_id=tenant_id, **facts | said)


def a_source(name: str = "mta1", **said: Any) -> SourceState:
    facts: dict[str, Any] = {"addresses": ("192.0.2.1",), "helo": "", "actors": ("delivery-0-0",), "pools": ()}
    return SourceState(name=name, **facts | said)


def a_fate(**said: Any) -> Fate:
    facts: dict[str, Any] = {
        "tenant_id": "tnt_acme",
        "batch_id": None,
        "created_at": ahead(minutes=-10),
        "send_at": None,
        "personalization": encode(PreparedPersonalization(to=(Address("ada@example.com"),))),
        "status": None,
        "finished_at": None,
        "error_message": None,
        "batch_paused": False,
    }
    return Fate(**facts | said)


def a_standing(**said: Any) -> RecipientState:
    facts: dict[str, Any] = {
        "recipient_no": 0,
        "recipient": "ada@example.com",
        "domain": "example.com",
        "pool": "",
        "status": Status.QUEUED,
        "attempts": 0,
        "due_at": NOW,
        "expires_at": ahead(days=3),
        "lane": None,
        "paused": False,
        "held": False,
        "actor": None,
        "error_message": None,
    }
    return RecipientState(**facts | said)


def a_held(state: str = "waiting", ahead: int = 0, source: str = "") -> Held:
    return Held(recipient_no=0, site="example.com", source=source, state=state, ahead=ahead)


def some_facts(*standings: RecipientState, **said: Any) -> MessageFacts:
    facts: dict[str, Any] = {
        "now": NOW,
        "message_id": MESSAGE,
        "fate": a_fate(),
        "recipients": ("ada@example.com",),
        "standings": standings,
        "held": {},
        "sites": {},
        "tried_until": {},
        "views": {},
        "suspensions": (),
        "live": ("delivery-0-0", "delivery-0-1"),
        "silent": (),
        "events": [],
    }
    return MessageFacts(**facts | said)
