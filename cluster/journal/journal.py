"""The journal: one pool of connections, and the parts that use it, each with its statements in a ``.sql`` file.

Its callers are the API process (accept, read, cancel), the scheduler (page in), the delivery actors (claim, commit) and
the consumers of the event log. Only this package accesses the tables.
"""

from cluster.journal.api_keys import ApiKeys
from cluster.journal.balance import Balance
from cluster.journal.batches import Batches
from cluster.journal.branded_links import BrandedLinks
from cluster.journal.commands import Commands
from cluster.journal.compaction import Compaction
from cluster.journal.console_sessions import ConsoleSessions
from cluster.journal.database import Database, Rejected, TookTooLong, Unavailable, wait_until_reachable
from cluster.journal.ends import Ends
from cluster.journal.engagement import Engagement
from cluster.journal.erasure import Erasure
from cluster.journal.event_log import EventLog
from cluster.journal.fates import Fates
from cluster.journal.fence import Fence
from cluster.journal.growth import GrowthRow
from cluster.journal.happenings import HappeningNotes
from cluster.journal.idempotency_keys import IdempotencyKeys
from cluster.journal.images import Images
from cluster.journal.intake import Acceptance
from cluster.journal.known_names import KnownNames
from cluster.journal.left_nodes import LeftNodes
from cluster.journal.mail_in import MailIn
from cluster.journal.membership import Membership
from cluster.journal.mention_erasure import MentionErasure
from cluster.journal.messages import Messages
from cluster.journal.migrating import migrate
from cluster.journal.operator_audit import OperatorAudit
from cluster.journal.operator_tokens import OperatorTokens
from cluster.journal.partitions import Partitions
from cluster.journal.policies import PolicyVersions
from cluster.journal.queue import Queue
from cluster.journal.queue_control import QueueControl
from cluster.journal.recipient_erasure import RecipientErasure
from cluster.journal.restoring import Restoring
from cluster.journal.rewriting import Rewriting
from cluster.journal.scheduled_sends import ScheduledSends
from cluster.journal.scheduling import Scheduling
from cluster.journal.sealed import SealedValues
from cluster.journal.secret_ages import SecretAges
from cluster.journal.sender_domains import SenderDomains
from cluster.journal.server import Server
from cluster.journal.silences import Silences
from cluster.journal.singletons import Singletons
from cluster.journal.site_actions import SiteActions
from cluster.journal.storage import Storage
from cluster.journal.strikes import Strikes
from cluster.journal.suppression_groups import SuppressionGroups
from cluster.journal.suppression_imports import SuppressionImports
from cluster.journal.suppressions import Suppressions
from cluster.journal.suspensions import Suspensions
from cluster.journal.templates import Templates
from cluster.journal.tenant_bodies import TenantBodies
from cluster.journal.tenant_load import TenantLoad
from cluster.journal.tenant_rates import TenantRates
from cluster.journal.tenants import Tenants
from cluster.journal.tls_reports import TlsReports
from cluster.journal.tls_results import TlsResultCounts
from cluster.journal.token_keys import TokenKeyRows
from cluster.journal.unsubscribing import Unsubscribing
from cluster.journal.upkeep import TableUpkeep
from cluster.journal.warm_up import WarmUps
from cluster.journal.webhook_owing import WebhookOwing
from cluster.journal.webhook_posting import WebhookPosting
from cluster.journal.webhook_replays import WebhookReplays
from cluster.journal.webhooks import Webhooks

__all__ = ["Journal", "Rejected", "TookTooLong", "Unavailable", "migrate", "wait_until_reachable"]


class Journal:
    """One pool of connections, and each part as an attribute.

    Every method that uses Postgres raises Unavailable when Postgres cannot be reached or cannot commit, and Rejected
    when it does not accept the data.
    """

    def __init__(
        self,
        dsn: str,
        *,
        application: str,
        connections: int = 4,
        max_wait_s: float = 5.0,
        offer_grace_s: float = 10.0,
        fence: Fence | None = None,
        silences: Silences | None = None,
    ) -> None:
        """``application`` is this process's unique name in the cluster: it names the connections and is the shard of
        the tallies. ``max_wait_s`` is how long a call waits for a free connection before it raises Unavailable.
        ``offer_grace_s`` is how long the scheduler leaves a newly accepted delivery to its direct offer. ``fence`` is
        that of a process there is one of in a cluster. ``silences`` are told when Postgres does not answer.
        """
        database = Database(
            dsn,
            application=application,
            connections=connections,
            max_wait_s=max_wait_s,
            fence=fence,
            silences=silences,
        )
        self._database = database
        self.intake = Acceptance(database, offer_grace_s)
        self.idempotency_keys = IdempotencyKeys(database)
        self.messages = Messages(database)
        self.commands = Commands(database)
        self.batches = Batches(database)
        self.scheduled_sends = ScheduledSends(database, self.batches)
        self.queue = Queue(database)
        self.scheduling = Scheduling(database)
        self.partitions = Partitions(database)
        self.rewriting = Rewriting(database)
        self.restoring = Restoring(database)
        self.membership = Membership(database)
        self.balance = Balance(database)
        self.singletons = Singletons(database)
        self.left_nodes = LeftNodes(database)
        self.growth = GrowthRow(database)
        self.happenings = HappeningNotes(database)
        self.strikes = Strikes(database)
        self.storage = Storage(database)
        self.event_log = EventLog(database)
        self.tenants = Tenants(database)
        self.ends = Ends(database)
        self.erasure = Erasure(database)
        self.compaction = Compaction(database)
        self.upkeep = TableUpkeep(database)
        self.recipient_erasure = RecipientErasure(database)
        self.mention_erasure = MentionErasure(database)
        self.tenant_bodies = TenantBodies(database)
        self.tenant_load = TenantLoad(database)
        self.tenant_rates = TenantRates(database)
        self.api_keys = ApiKeys(database)
        self.sealed = SealedValues(database)
        self.secret_ages = SecretAges(database)
        self.server = Server(database)
        self.sender_domains = SenderDomains(database)
        self.branded_links = BrandedLinks(database)
        self.templates = Templates(database)
        self.images = Images(database)
        self.suppressions = Suppressions(database)
        self.suppression_groups = SuppressionGroups(database)
        self.suppression_imports = SuppressionImports(database)
        self.unsubscribing = Unsubscribing(database)
        self.token_keys = TokenKeyRows(database)
        self.engagement = Engagement(database)
        self.operator_tokens = OperatorTokens(database)
        self.operator_audit = OperatorAudit(database)
        self.console_sessions = ConsoleSessions(database)
        self.policies = PolicyVersions(database)
        self.suspensions = Suspensions(database)
        self.site_actions = SiteActions(database)
        self.queue_control = QueueControl(database)
        self.fates = Fates(database)
        self.known_names = KnownNames(database)
        self.mail_in = MailIn(database)
        self.tls_results = TlsResultCounts(database)
        self.tls_reports = TlsReports(database)
        self.warm_up = WarmUps(database)
        self.webhooks = Webhooks(database)
        self.webhook_owing = WebhookOwing(database)
        self.webhook_replays = WebhookReplays(database)
        self.webhook_posting = WebhookPosting(database)

    async def open(self) -> None:
        """Connect. Raises Unavailable."""
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()
