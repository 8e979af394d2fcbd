"""The journal, whole: one pool of connections, all its parts.

Called by the API process (accept, read, cancel), the scheduler (page in), the delivery actors (claim, commit) and
the consumers of the event log. Nothing else touches the tables.
"""

from cluster.journal.accounts import Accounts
from cluster.journal.database import Rejected, TookTooLong, Unavailable, migrate, wait_until_reachable
from cluster.journal.event_log import EventLog
from cluster.journal.intake import Acceptance
from cluster.journal.known_names import KnownNames
from cluster.journal.membership import Membership
from cluster.journal.messages import Reading
from cluster.journal.moving import Moving
from cluster.journal.operations import Operations
from cluster.journal.queue import Queue
from cluster.journal.scheduled_sends import ScheduledSends
from cluster.journal.scheduling import Paging
from cluster.journal.strikes import Strikes
from cluster.journal.tls_results import TlsResultCounts
from cluster.journal.warm_up import WarmUps

__all__ = ["Journal", "Rejected", "TookTooLong", "Unavailable", "migrate", "wait_until_reachable"]


class Journal(
    Accounts,
    Acceptance,
    Reading,
    ScheduledSends,
    Queue,
    Paging,
    Membership,
    Operations,
    Moving,
    KnownNames,
    Strikes,
    TlsResultCounts,
    WarmUps,
    EventLog,
):
    """Every typed statement that postray makes. Methods raise Unavailable and Rejected, as their texts say."""
