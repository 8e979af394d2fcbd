"""/api/admin over a journal and delivery actors in memory, and what they are asked."""

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import httpx
from msgspec.structs import replace

from analytics.history import History
from analytics.queries import MessageEvents, TimelineEvent
from analytics.statistics import Names, Statistics
from api.admin.routes import Admin
from api.app import create_app
from api.images.cache import ImageCache
from api.send.large.requests import Large
from api.tracking.recording import Engagements
from cluster.ids import new_id
from cluster.intake.intake import Intake
from cluster.journal.fates import Fate, RecipientState
from cluster.journal.journal import Journal
from cluster.journal.operator_tokens import OperatorToken
from cluster.journal.queue_control import QueueFilter, QueueMark, QueuePart, UnfinishedDelivery
from cluster.journal.records import DeliveryActor, DueDelivery, NewRequest
from cluster.journal.site_actions import SiteAction
from cluster.journal.suppressions import SuppressedBy
from cluster.journal.suspensions import Suspension
from cluster.journal.tenants import TenantRecord
from cluster.keys import operator_token
from cluster.peers import PeerGone
from cluster.policies import BadPolicies
from cluster.policy.lifecycle import Status
from cluster.policy.limits.retry import tried_until
from cluster.routing.site_state import Held, SiteState, TraceLine
from cluster.routing.views import RouteDescription, SiteOfDomain, SourceState
from cluster.settings import HttpSettings
from cluster.tenancy.directory import TenantDirectory
from tests.domains import a_manager
from tests.limiting import a_limiter
from tests.monitoring import no_metrics
from tests.policies import a_policy, no_aliases
from tests.tracking import token_keys
from tests.unit.api.admin_facts import a_suspension
from tests.unit.api.journal_double import JournalDouble
from tests.webhooks import webhook_parts

TOKEN = operator_token("secret")
TENANT = TenantRecord(
    id="tnt_01KQ7B2XWJ5T0E8M3N6R9VA4CD",
    name="acme",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    suspended_at=None,
    suspended_for="",
    pause_over_rates=None,
    bounce_rate=None,
    complaint_rate=None,
)


class OperationsDouble(JournalDouble):
    """A journal that gives operators the answers that a test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.members = ["delivery-0-0", "delivery-0-1"]
        self.parked_in: dict[str, int] = {}
        self.standing_suspensions: list[Suspension] = []
        self.resumed: list[tuple[str | None, str | None]] = []
        self.actions: list[SiteAction] = []
        self.parts: list[QueuePart] = []
        self.searched: list[tuple[QueueFilter, QueueMark]] = []
        self.given_up: list[Sequence[UnfinishedDelivery]] = []
        self.reasons: list[str] = []
        self.queued_for: list[str] = []
        self.known_fate: Fate | None = None
        self.known_standings: list[RecipientState] = []
        self.tenants = SimpleNamespace(
            **vars(self.tenants), create=self._create_tenant, record=self._tenant_record, page=self._tenant_records
        )
        self.membership = SimpleNamespace(actors=self._actors)
        self.queue_control = SimpleNamespace(
            parked_in=self._parked_in,
            lane_names=self._lane_names,
            part=self._queue_part,
            give_up=self._give_up,
        )
        self.suspensions = SimpleNamespace(active=self._suspensions, suspend=self._suspend, resume=self._resume)
        self.site_actions = SimpleNamespace(latest=self._site_actions, record=self._record_site_actions)
        self.known_names = SimpleNamespace(
            queued_domains=self._queued_domains,
            is_queued_domain=self._is_queued_domain,
            is_queued_pool=self._is_queued_pool,
            is_batch=self._is_batch,
            tenants_like=self._tenants_like,
        )
        self.fates = SimpleNamespace(find=self._fate, recipients=self._standings)
        self.suppressions.of_recipients = self._suppressed
        self.uses: list[tuple[str, datetime]] = []
        self.tokens: dict[bytes, OperatorToken] = {}
        self.operator_tokens = SimpleNamespace(
            create=self._create_token,
            latest=self._latest_tokens,
            by_hash=self._token_by_hash,
            note_use=self._note_use,
            revoke=self._revoke_token,
        )
        self.policies = SimpleNamespace(version=self._policies_version)

    async def _suppressed(
        self, tenant_id: str, emails: Sequence[str], group_id: int | None, bypass: int | None
    ) -> dict[int, SuppressedBy]:
        return {}

    async def _actors(self, alive_s: float) -> list[DeliveryActor]:
        self._read()
        return [DeliveryActor(name, number) for number, name in enumerate(self.members)]

    async def _create_tenant(self, name: str) -> str:
        return TENANT.id

    async def _tenant_record(self, tenant_id: str) -> TenantRecord | None:
        return TENANT if tenant_id == TENANT.id else None

    async def _tenant_records(self, after: str, limit: int, name: str | None) -> list[TenantRecord]:
        self._read()
        return [TENANT]

    async def _parked_in(self, lanes: Sequence[str], most: int) -> dict[str, int]:
        return self.parked_in

    async def _lane_names(self) -> list[str]:
        return list(self.parked_in)

    async def _suspensions(self) -> list[Suspension]:
        return self.standing_suspensions

    async def _suspend(self, site: str, tenant_id: str, until: datetime, reason: str, made_by: str) -> bool:
        self.standing_suspensions.append(a_suspension(site, tenant_id, until=until, reason=reason, made_by=made_by))
        return True

    async def _resume(self, site: str | None, tenant_id: str | None, made_by: str) -> list[Suspension]:
        self.resumed.append((site, tenant_id))
        return self.standing_suspensions

    async def _site_actions(self, site: str | None, limit: int) -> list[SiteAction]:
        return [action for action in self.actions if site in (None, action.site)][:limit]

    async def _queue_part(self, filter: QueueFilter, start: QueueMark, size: int) -> QueuePart:
        self.searched.append((filter, start))
        return self.parts.pop(0)

    async def _give_up(self, queued: Sequence[UnfinishedDelivery], reason: str) -> int:
        self.given_up.append(queued)
        self.reasons.append(reason)
        return len(queued)

    async def _queued_domains(self, most: int) -> list[str]:
        return self.queued_for

    async def _is_queued_domain(self, domain: str) -> bool:
        return domain in self.queued_for

    async def _is_queued_pool(self, pool: str) -> bool:
        return pool == "forgotten"

    async def _is_batch(self, batch_id: str) -> bool:
        return batch_id == "bat_1"

    async def _tenants_like(self, text: str, most: int) -> list[tuple[str, str]]:
        return [("tnt_acme", "Acme"), ("tnt_1", "One")]

    async def _record_site_actions(self, actions: Sequence[SiteAction]) -> None:
        self.actions += actions

    async def _fate(self, message_id: str) -> Fate | None:
        return self.known_fate

    async def _standings(self, message_id: str) -> list[RecipientState]:
        return self.known_standings

    async def _create_token(self, name: str, *, prefix: str, hash: bytes, at: datetime) -> OperatorToken | None:
        if any(token.name == name for token in self.tokens.values()):
            return None
        made = self.tokens[hash] = OperatorToken(id=new_id("opt_"), name=name, prefix=prefix, created_at=at)
        return made

    async def _latest_tokens(self, limit: int) -> list[OperatorToken]:
        return list(self.tokens.values())[:limit]

    async def _token_by_hash(self, hash: bytes) -> OperatorToken | None:
        self._read()
        return self.tokens.get(hash)

    async def _note_use(self, id: str, minute: datetime) -> None:
        self.uses.append((id, minute))

    async def _revoke_token(self, named: str, at: datetime) -> OperatorToken | None:
        hash = next((hash for hash, token in self.tokens.items() if named in (token.id, token.name)), None)
        return self.tokens.pop(hash) if hash is not None else None

    async def _policies_version(self) -> int:
        return 3


class Operating:
    """An application with /api/admin, and everything around it that a test reads or changes."""

    client: httpx.AsyncClient
    """With an operator's token."""

    def __init__(self) -> None:
        self.journal = OperationsDouble()
        self.states: dict[str, list[SiteState]] = {}
        self.lifetime_s = 86_400.0
        """As shaping gives it to every site."""
        self.history = History(
            site="", since=datetime(2026, 4, 23, tzinfo=UTC), until=datetime(2026, 4, 24, tzinfo=UTC), step_s=60
        )
        """What the recorder answers."""
        self.lately: list[str] = []
        """Sites that actors have no longer in memory."""
        self.held: dict[str, list[Held]] = {}
        self.lines: dict[str, list[TraceLine]] = {}
        self.gone: set[str] = set()
        self.asked: list[tuple[Any, ...]] = []
        self.put: list[tuple[str, str]] = []
        self.version: int | None = 4
        self.bad: BadPolicies | None = None
        journal = cast(Journal, self.journal)
        directory = TenantDirectory(journal)
        domains = a_manager(journal)
        admin = Admin(
            TOKEN,
            journal,
            self._call,
            directory,
            domains=domains,
            token_keys=token_keys(journal),
            timeline=self._timeline,
            webhooks=webhook_parts(journal),
            site_of=self._site_of,
            find_site=self._find_site,
            tried_until=self._tried_until,
            named_sites=lambda: {"capture"},
            describe=self._describe,
            sources=self._sources,
            put_in_force=self._put_in_force,
        )
        directory = TenantDirectory(journal)
        self.app = create_app(
            HttpSettings(),
            journal=journal,
            directory=directory,
            limiter=a_limiter(journal, directory),
            active_policy=a_policy(journal),
            domains=domains,
            aliases=no_aliases,
            intake=cast(Intake, self),
            images=ImageCache(journal),
            token_keys=token_keys(journal),
            engagements=Engagements(journal),
            large=cast(Large, self),
            timeline=self._timeline,
            ask_recorder=self._ask_recorder,
            webhooks=webhook_parts(journal),
            readiness=self._readiness,
            lifetime_s=1,
            admin=admin,
            metrics=no_metrics(),
        )

    async def start(self) -> None:
        """Do nothing: there is no intake to start."""

    async def stop(self) -> None:
        """Do nothing: there is no intake to stop."""

    async def _call(self, name: str, method: str, *arguments: Any) -> Any:
        self.asked.append((name, method, *arguments))
        if name in self.gone:
            raise PeerGone(name, "dead")
        match method:
            case "sites":
                return self.states.get(name, [])
            case "known_sites":
                return [*(state.site for state in self.states.get(name, [])), *self.lately]
            case "held":
                return self.held.get(name, [])
            case "history":
                return replace(self.history, site=arguments[0].site)
            case "trace":
                return [line for line in self.lines.get(name, []) if line.number > arguments[1]]
        return None

    async def commit(self, request: NewRequest) -> None:
        raise AssertionError("an operator sends no mail here")

    async def _ask_recorder(self, method: str, wanted: Statistics | Names) -> list[Any]:
        return []

    async def _timeline(self, tenant_id: str, message_id: str) -> MessageEvents:
        processed = TimelineEvent(
            event_type="processed", recipient_email="ada@example.com", timestamp="2026-04-23T10:00Z"
        )
        return MessageEvents([processed])

    async def _readiness(self) -> dict[str, str | None]:
        return {}

    async def _site_of(self, domain: str) -> str:
        return {"example.com": "google", "example.org": "yahoo"}.get(domain, domain)

    async def _tried_until(self, waiting: DueDelivery, send_at: datetime, expires_at: datetime) -> datetime:
        return tried_until(expires_at, send_at, shaped_s=self.lifetime_s, default_s=86_400.0)

    async def _find_site(self, domain: str) -> SiteOfDomain:
        problem = f"{domain}: no such domain" if domain.endswith(".invalid") else ""
        return SiteOfDomain(site=await self._site_of(domain), problem=problem)

    async def _describe(self, domain: str, tenant_id: str, pool: str) -> RouteDescription:
        self.asked.append((domain, tenant_id, pool))
        return RouteDescription(domain=domain, via="direct", site="google")

    async def _sources(self) -> list[SourceState]:
        return [SourceState(name="mta1", addresses=("192.0.2.1",), helo="mta1.example", actors=(), pools=())]

    async def _put_in_force(self, shaping: str, routing: str) -> int | None:
        if self.bad is not None:
            raise self.bad
        self.put.append((shaping, routing))
        return self.version

    async def faults(self, response: httpx.Response) -> list[str | None]:
        assert response.status_code == 400, response.text
        return [error["field"] for error in response.json()["errors"]]


def queued(number: int, domain: str = "example.com", status: Status = Status.QUEUED) -> UnfinishedDelivery:
    return UnfinishedDelivery(f"msg_{number}", 0, f"{number}@{domain}", "tnt_acme", None, domain, True, status.value)
