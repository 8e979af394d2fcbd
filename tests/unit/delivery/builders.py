"""Builders for the tests of a delivery actor's parts."""

from datetime import UTC, datetime, timedelta

from msgspec import structs

from actors.delivery.job import Job
from actors.delivery.site import ReadyDelivery
from actors.smtp.commands import Envelope
from actors.smtp.reply import make_reply
from actors.smtp.transaction import TransactionResult
from cluster.journal.records import Claimed, DueDelivery
from cluster.policies import base_limits
from cluster.policy.limits.quantities import rate
from cluster.policy.limits.shaping import Limits
from cluster.policy.replies.stage import Stage
from cluster.policy.routes.mx import MailHost
from cluster.policy.routes.next_hop import NextHop
from cluster.policy.routes.routing import Via
from cluster.settings import DeliverySettings

HOP = NextHop(Via.DIRECT, (MailHost(10, "mx1.example.com"), MailHost(10, "mx2.example.com")))
OTHER_HOP = NextHop(Via.DIRECT, (MailHost(10, "mx.example.net"),))

_AT = datetime(2026, 1, 1, tzinfo=UTC)
_TAKEN = make_reply(250, ["250 2.0.0 ok"])
TAKEN = TransactionResult(
    mail=_TAKEN, recipients=(_TAKEN,), final=_TAKEN, final_stage=Stage.END_OF_DATA, unsendable=None, duration=0.1
)


class Clock:
    """A clock that tests advance by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def some_limits(
    connections: int = 2, *, message_rate: str = "", connection_rate: str = "", **others: float | int
) -> Limits:
    """The settings' limits with these changes; rates as shaping.toml writes them."""
    limits = structs.replace(
        base_limits(DeliverySettings()),
        connections=connections,
        message_rate=rate(message_rate) if message_rate else None,
        connection_rate=rate(connection_rate) if connection_rate else None,
    )
    return structs.replace(limits, **others)


def waiting(number: int, tenant_id: str = "tnt_1", domain: str = "example.com", recipient_no: int = 0) -> DueDelivery:
    return DueDelivery(f"msg_{number}", recipient_no, tenant_id, domain, "")


def ready(number: int, tenant_id: str = "tnt_1", hop: NextHop = HOP, recipient_no: int = 0) -> ReadyDelivery:
    return ReadyDelivery(waiting(number, tenant_id, recipient_no=recipient_no), hop)


def job(number: int, tenant_id: str = "tnt_1") -> Job:
    recipient = f"r{number}@example.com"
    claimed = Claimed(
        message_id=f"msg_{number}",
        recipient_no=0,
        recipient=recipient,
        domain="example.com",
        tenant_id=tenant_id,
        request_id="req_1",
        batch_id=None,
        attempts=1,
        sole_recipient=True,
        created_at=_AT,
        send_at=_AT,
        dated_at=_AT,
        expires_at=_AT + timedelta(days=3),
        personalization=b"",
    )
    envelope = Envelope("from@sender.example", (recipient,))
    return Job(deliveries=(claimed,), envelope=envelope, data=b"Subject: hello\r\n\r\nhello\r\n", categories=())
