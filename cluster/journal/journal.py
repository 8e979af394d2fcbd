"""The journal, whole: one pool of connections, all its parts.

Called by the API process (accept, read, cancel), the scheduler (page in), the delivery actors (claim, commit) and
the consumers of the event log. Nothing else touches the tables.
"""

from cluster.journal.accounts import Accounts
from cluster.journal.commands import Commands
from cluster.journal.database import Rejected, TookTooLong, Unavailable, migrate, wait_until_reachable
from cluster.journal.event_log import EventLog
from cluster.journal.fates import Fates
from cluster.journal.intake import Acceptance
from cluster.journal.known_names import KnownNames
from cluster.journal.membership import Membership
from cluster.journal.messages import Messages
from cluster.journal.policies import PolicyVersions
from cluster.journal.queue import Queue
from cluster.journal.queue_control import QueueControl
from cluster.journal.scheduled_sends import ScheduledSends
from cluster.journal.scheduling import Scheduling
from cluster.journal.site_actions import SiteActions
from cluster.journal.strikes import Strikes
from cluster.journal.suspensions import Suspensions
from cluster.journal.tls_results import TlsResultCounts
from cluster.journal.warm_up import WarmUps

__all__ = ["Journal", "Rejected", "TookTooLong", "Unavailable", "migrate", "wait_until_reachable"]


class Journal(
    Acceptance,
    ScheduledSends,
    Accounts,
    Commands,
    EventLog,
    Fates,
    KnownNames,
    Membership,
    Messages,
    PolicyVersions,
    Queue,
    QueueControl,
    Scheduling,
    SiteActions,
    Strikes,
    Suspensions,
    TlsResultCounts,
    WarmUps,
):
    """Every typed statement that postray makes. Methods raise Unavailable and Rejected, as their texts say."""
