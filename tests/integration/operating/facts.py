"""What the other actors of the postray in conftest know: a site, a route, a source, a dialogue, events, TLS reports."""

from datetime import UTC, datetime

from analytics.queries import MessageEvents, TimelineEvent
from cluster.policies import check_policies
from cluster.policy.tls.shown_reports import ShownDestination, ShownReport, ShownReports
from cluster.routing.site_state import LastReply, SiteState, TraceLine
from cluster.routing.views import (
    MxHost,
    PoolShare,
    RouteDescription,
    SourceChoice,
    SourceState,
    TlsView,
    WarmUpUse,
)
from cluster.settings import DeliverySettings

ACTOR = "delivery-0-0"
DELIVERY = DeliverySettings()
TIMELINE = MessageEvents(
    [
        TimelineEvent(
            event_type="deferred",
            recipient_email="ada@example.com",
            timestamp="2026-04-23T10:00:00.000Z",
            metadata={"reason": "450 \x1b[31mgreylisted"},
        ),
        TimelineEvent(
            event_type="click",
            recipient_email="ada@example.com",
            timestamp="2026-04-23T10:05:00.000Z",
            url="https://shop.example/a",
            metadata={"link_index": 0},
        ),
    ]
)
TLS_REPORTS = ShownReports(
    problem=None,
    reports=(
        ShownReport(
            domain="example.com",
            document='{"organization-name":"[bold]Example"}',
            file_name="mail.example.net!example.com!1772323200!1772409599.json.gz",
            destinations=(
                ShownDestination(
                    uri="mailto:tls@example.com", sent_at=datetime(2026, 3, 2, 3, tzinfo=UTC), result="ok"
                ),
                ShownDestination(
                    uri="https://r.example.com/", due_at=datetime(2026, 3, 2, 4, tzinfo=UTC), result="503"
                ),
                ShownDestination(uri="https://s.example.com/"),
            ),
            faults=("'ftp://x': only mailto and https count",),
        ),
    ),
    next=None,
)
DIALOGUE = [
    TraceLine(number=1, at=1.0, connection="mx1 [192.0.2.1] #1", direction="C", text="EHLO mail.example.com"),
    TraceLine(number=2, at=2.0, connection="mx1 [192.0.2.1] #1", direction="S", text="250 hello [bold]"),
    TraceLine(number=5, at=3.0, connection="mx1 [192.0.2.1] #1", direction="*", text="closed"),
]


def a_site() -> SiteState:
    return SiteState(
        actor=ACTOR,
        source="mta1",
        site="site.example",
        share=0,
        shares=1,
        waiting=12,
        in_flight=2,
        connections=2,
        connection_limit=20,
        message_rate=5.0,
        accepted=40,
        deferred=3,
        bounced=1,
        accepted_per_s=1.5,
        waits_for="the message rate",
        binds="message_rate",
        until=0.0,
        adjustments=("message rate halved",),
        last_replies=(LastReply(at=1.0, host="mx1", text="421 \x1b]0;title too fast [red]", kind="deferred"),),
    )


def a_route(domain: str, tenant_id: str, pool: str) -> RouteDescription:
    limits, _ = check_policies(DELIVERY, "", "")
    return RouteDescription(
        domain=domain,
        via="direct",
        mx=(MxHost(preference=10, host="mx1.example.com", addresses=("192.0.2.1",)),),
        site="site.example",
        pool=pool,
        sources=(SourceChoice(source="mta1", weight=2.0, owner=ACTOR),),
        destination="mta1>site.example",
        owner=ACTOR,
        shaping=tuple(limits.explain("site.example", tenant_id=tenant_id)),
        tls=TlsView(level="opportunistic", mta_sts_mode="enforce", mta_sts_mx=("*.example.com",)),
    )


def a_source() -> SourceState:
    return SourceState(
        name="mta1",
        addresses=("192.0.2.9",),
        helo="mta1.example.com",
        actors=(ACTOR,),
        pools=(PoolShare(pool="bulk", weight=2.0),),
        warm_up_day=3,
        warm_up=(WarmUpUse(site="site.example", granted=50, cap=200),),
    )
