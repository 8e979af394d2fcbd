"""What rows of the event log tell, for the recorder. Pure."""

from analytics.rows import Position
from cluster.events import Event, WebhookAttempt, WebhookDisabled, decode_row, numbered
from cluster.journal.records import LogRow


class Found:
    """What rows of the log tell: events of messages with their positions, and posts of webhooks. That an endpoint was
    disabled is in the log for other consumers. Events from before ``oldest``, in seconds since the epoch, are not kept
    any more: the log is read after a very long outage, or was restored."""

    def __init__(self, oldest: float) -> None:
        self._oldest = oldest
        self.expired = 0
        self.events: list[Event] = []
        self.positions: list[Position] = []
        self.attempts: list[WebhookAttempt] = []

    def add(self, row: LogRow) -> None:
        """Raises msgspec.DecodeError and ValueError for a row that is malformed."""
        for sequence, one in numbered(row.id, decode_row(row.events)):
            if isinstance(one, WebhookAttempt):
                self.attempts.append(one)
            elif isinstance(one, WebhookDisabled):
                continue
            elif one.at < self._oldest:
                self.expired += 1
            else:
                self.events.append(one)
                self.positions.append((row.tx, sequence))
