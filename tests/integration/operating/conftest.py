"""An API on a real port over a real journal, as a running postray would have it, and its commands."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec import structs

from actors.measuring import StorageWatch
from analytics.backup import BackupState
from analytics.client import ClickHouse
from analytics.door.server import SqlDoor
from analytics.history import HistoryWanted, SitePoint, WholePoint
from analytics.queries import MessageEvents
from analytics.statistics import Names, Statistics
from analytics.storage import StoredPartition
from api.admin.routes import Admin
from api.console.sql import asking
from api.server import ApiServer
from cluster.cli import main
from cluster.installation import running
from cluster.installation.local_secrets import SQL_PASSWORD
from cluster.installation.private_files import write_whole
from cluster.journal.journal import Journal
from cluster.journal.records import BatchCounts, DueDelivery, NewRequest
from cluster.keys import operator_token
from cluster.nodes import NodeState, WantedNodes
from cluster.peers import PeerGone
from cluster.policies import put_in_force
from cluster.policy.limits.retry import tried_until
from cluster.policy.retention import Retention
from cluster.policy.storage import Pruned
from cluster.routing.estimating import CannotTell
from cluster.routing.views import (
    BatchEstimate,
    RouteDescription,
    SiteOfDomain,
    SourceState,
)
from cluster.settings import HttpSettings
from cluster.tenancy.directory import TenantDirectory
from cluster.vault import Vault, secret_key
from tests.domains import a_manager
from tests.histories import answer_of
from tests.integration.analytics.sql_door import PASSWORD, opened
from tests.integration.large import large_requests
from tests.integration.operating.facts import (
    ACTOR,
    DELIVERY,
    DIALOGUE,
    TIMELINE,
    TLS_REPORTS,
    a_route,
    a_site,
    a_source,
)
from tests.limiting import a_limiter
from tests.policies import a_policy, no_aliases
from tests.tracking import token_keys
from tests.webhooks import Actors, webhook_parts

KEPT = Retention(bodies_days=7, messages_days=30)


class Postray:
    """A journal and an API that think they are part of a running postray; the delivery actor is a few facts."""

    def __init__(self, journal: Journal, dsn: str, data_dir: Path, config: Path) -> None:
        self.journal = journal
        self.config = config
        self.url = ""
        self.followed = 0
        self.lifetime_s = 86_400.0
        self.reports: dict[str, Any] | None = {"show_tls_reports": TLS_REPORTS, "send_tls_reports": 3}
        """What the scheduler answers about TLS reports; None where they are off."""
        self.reports_asked: list[tuple[Any, ...]] = []
        self.asked: Counter[str] = Counter()
        """How often actors were called, by method."""
        self.nodes: list[NodeState] = []
        self.wanted: WantedNodes | Exception | None = None
        self.problem: str | None = None
        """What the supervisor answers: ``problem`` is that of the part ``nodes``."""
        self.stored: list[StoredPartition] | Exception = []
        """What the recorder answers about ClickHouse."""
        self.samples: Sequence[SitePoint | WholePoint] | Exception = ()
        """What the recorder has of the one site, ``site.example``, and of the whole."""
        self.histories: list[HistoryWanted] = []
        """What it was asked for."""
        self.kept_free_bytes = 0
        self.pruned = [Pruned(state="done")]
        """What the scheduler answers, one after the other."""
        self.prunes: list[tuple[Any, ...]] = []
        self.moved: list[bytes] = []
        self.tried: list[tuple[str, str]] = []
        self.outlook: BatchEstimate | str = "nothing is known of deliveries here"
        """When each batch will be done; a text is why nothing can be said."""
        self.door: SqlDoor | None = None
        """Answers SQL; None: the recorder does not answer."""
        self.webhooks = Actors()
        self.look: Callable[[int], Awaitable[None]] | None = None
        """What looks at a sender domain; None finds nothing."""
        self.parts: dict[str, str | None] = {"journal": None}
        self.data_dir = data_dir
        self.vault = Vault(secret_key("", data_dir))
        token = operator_token(secret_key("", data_dir))
        directory = TenantDirectory(journal)
        domains = a_manager(journal, vault=self.vault, verify=self._look)
        self.token_keys = token_keys(journal)
        admin = Admin(
            token,
            journal,
            self._call,
            directory,
            domains=domains,
            token_keys=self.token_keys,
            timeline=self._timeline,
            webhooks=webhook_parts(journal, self.webhooks),
            site_of=self._site_of,
            find_site=self._find_site,
            tried_until=self._tried_until,
            named_sites=lambda: {"relay.example:25"},
            describe=self._describe,
            sources=self._sources,
            put_in_force=self._put_in_force,
        )
        self.policy = a_policy(journal)
        limiter = a_limiter(journal, directory)
        self.server = ApiServer(
            HttpSettings(bind="127.0.0.1:0", public_url="https://mail.postray.example"),
            journal=journal,
            directory=directory,
            limiter=limiter,
            active_policy=self.policy,
            domains=domains,
            aliases=no_aliases,
            token_keys=self.token_keys,
            lifetime_s=3600,
            offers=self._offer,
            large=large_requests(dsn, limiter),
            timeline=self._timeline,
            ask_recorder=self._ask_recorder,
            webhooks=webhook_parts(journal, self.webhooks),
            readiness=self._readiness,
            estimate=self._estimate,
            ask_sql=asking(self._call, 30.0),
            admin=admin,
            admin_bind="127.0.0.1:0",
        )

    async def _stored(self, name: str, method: str, *arguments: Any) -> Any:
        if name == "recorder":
            if isinstance(self.stored, Exception):
                raise self.stored
            return self.stored
        if method == "prune":
            self.prunes.append(arguments)
            return self.pruned.pop(0)
        return await StorageWatch(
            self.journal, self.data_dir, kept_free_bytes=self.kept_free_bytes, retention=KEPT
        ).look()

    async def _look(self, id: int) -> None:
        if self.look is not None:
            await self.look(id)

    async def run(self, *arguments: str) -> Result:
        """Run a command as an operator does."""
        return await asyncio.to_thread(CliRunner().invoke, main, ["--config", str(self.config), *arguments])

    async def said(self, *arguments: str) -> str:
        """The text that a successful command prints for people, with wrapped lines joined."""
        result = await self.run(*arguments)
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    async def json(self, *arguments: str) -> Any:
        """The JSON that it prints for programs."""
        result = await self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    async def refused(self, *arguments: str) -> str:
        result = await self.run(*arguments)
        assert result.exit_code == 1, result.output
        return result.output

    async def _call(self, name: str, method: str, *arguments: Any) -> Any:
        self.asked[method] += 1
        if method in ("storage", "stored", "prune"):
            return await self._stored(name, method, *arguments)
        if name == "supervisor":
            if method == "wanted_nodes":
                if isinstance(self.wanted, Exception):
                    raise self.wanted
                return self.wanted
            if method == "readiness":
                return {"nodes": self.problem}
            assert method == "nodes"
            return self.nodes
        if name == "scheduler":
            self.reports_asked.append((method, *arguments))
            return self.reports and self.reports.get(method)
        if method == "sql":
            if self.door is None:
                raise PeerGone(name, "not there")
            return await self.door.answer(arguments[0])
        if method == "history":
            self.histories.append(arguments[0])
            if isinstance(self.samples, Exception):
                raise self.samples
            return answer_of(self.samples, arguments[0])
        if method == "parked":
            return {}
        if name == "recorder":
            return BackupState(state="running")
        if name != ACTOR:
            raise PeerGone(name, "not there")
        match method:
            case "sites":
                return [a_site()]
            case "known_sites":
                return [a_site().site, "mx.lately.example"]
            case "trace":
                return [line for line in DIALOGUE if line.number > arguments[1]]
            case "moved":
                self.moved.append(arguments[0])
                return None
            case "try_now":
                self.tried += arguments[0]
                return None
            case "follow":
                self.followed += 1
                return None
        return []

    def _offer(self, requests: Sequence[NewRequest]) -> None:
        """No mail is delivered here."""

    async def _ask_recorder(self, method: str, wanted: Statistics | Names) -> list[Any]:
        return []

    async def _timeline(self, tenant_id: str, message_id: str) -> MessageEvents:
        return TIMELINE

    async def _estimate(self, tenant_id: str, counts: BatchCounts) -> BatchEstimate:
        if isinstance(self.outlook, str):
            raise CannotTell(self.outlook)
        return self.outlook

    async def _readiness(self) -> dict[str, str | None]:
        return self.parts

    async def _site_of(self, domain: str) -> str:
        return "site.example" if domain == "example.com" else domain

    async def _tried_until(self, waiting: DueDelivery, send_at: datetime, expires_at: datetime) -> datetime:
        return tried_until(expires_at, send_at, shaped_s=self.lifetime_s, default_s=86_400.0)

    async def _find_site(self, domain: str) -> SiteOfDomain:
        problem = f"{domain}: no such domain" if domain.endswith(".invalid") else ""
        return SiteOfDomain(site=await self._site_of(domain), problem=problem)

    async def _describe(self, domain: str, tenant_id: str, pool: str) -> RouteDescription:
        return a_route(domain, tenant_id, pool)

    async def _sources(self) -> list[SourceState]:
        return [a_source()]

    async def _put_in_force(self, shaping: str, routing: str) -> int | None:
        return await put_in_force(self.journal, self.vault, DELIVERY, shaping, routing)


TRACKING = "http://127.0.0.1:8081"
"""Where this postray would answer recipients apart."""
SUBMISSION, MAIL_IN = "127.0.0.1:2587", "127.0.0.1:2525"
"""Where it would take mail, and reports on mail."""


@pytest.fixture
async def postray(journal: Journal, journal_dsn: str, tmp_path: Path) -> AsyncIterator[Postray]:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    config = tmp_path / "postray.toml"
    config.write_text(f'data_dir = "{data_dir}"\n', encoding="utf-8")
    await journal.membership.register(ACTOR, "node")
    postray = Postray(journal, journal_dsn, data_dir, config)
    with running.DataLock(data_dir):
        postray.url = url = await postray.server.start()
        run = running.Run(
            pid=1,
            url=url,
            page="",
            tracking=TRACKING,
            submission=SUBMISSION,
            mail_in=MAIL_IN,
            processes=[running.own_mark()],
        )
        running.write_run(data_dir, run)
        yield postray
        await postray.server.stop()


@pytest.fixture
async def asked(postray: Postray, clickhouse: ClickHouse, tmp_path: Path) -> AsyncIterator[Postray]:
    """A postray with a SQL door."""
    async with opened(tmp_path) as door:
        at(postray, door.url)
        postray.door = door.door
        yield postray


def at(postray: Postray, url: str) -> None:
    """Let the commands find a SQL door there."""
    write_whole(postray.data_dir / SQL_PASSWORD, PASSWORD.encode())
    run = running.read_run(postray.data_dir)
    assert run is not None
    running.write_run(postray.data_dir, structs.replace(run, sql=url))
