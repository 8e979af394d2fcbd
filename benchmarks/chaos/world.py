"""The parts of a chaos run: scratch directory, Postgres, sink, endpoint of webhooks, postray. All of it listens on
loopback and is removed at the end. Postgres is the harness's own, so that it can be stopped and started independently
of ``postray up``.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from benchmarks.chaos.faults import ChaosFault, FaultKind, longest_outage_s
from benchmarks.chaos.load import LoadStream
from benchmarks.chaos.readers import Readers
from benchmarks.chaos.report_mail import FEEDBACK
from benchmarks.chaos.reporters import Reporters
from benchmarks.chaos.submitting import Submitting
from benchmarks.client import Client
from benchmarks.cluster_postray import ClusterPostray
from benchmarks.hook_process import HookProcess
from benchmarks.later_release import make_later_release
from benchmarks.postray import PostrayProcess
from benchmarks.sink import SinkOptions
from benchmarks.sink_process import SinkProcess
from cluster.installation.embedded import EmbeddedPostgres
from cluster.installation.ports import ANY_PORT, HeldPort

SMTP_TIMEOUT_S = 4.0
LIFETIME_S = 3600.0
"""Longer than any run: no message may expire, as a stuck one would then look finished."""
REPORTED_S = 4.0
"""How long messages count as sent before they count as delivered: hosts' reports come before and after."""


def variables(relay: str, dsn: str, mail_in: str, faults: Sequence[ChaosFault]) -> Mapping[str, str]:
    """Settings with which all work finishes soon after the storm, while the leases are longer than what they must
    outlast: three consecutive transactions that time out, and the longest outage. ``mail_in``: the host:port where
    postray takes reports."""
    smtp = ("CONNECT", "GREETING", "MAIL", "RCPT", "DATA_INITIATION", "DATA_BLOCK", "DATA_TERMINATION")
    sending_lease_s = 3 * SMTP_TIMEOUT_S + longest_outage_s(faults) + 4
    return {
        "POSTRAY_POSTGRES_DSN": dsn,
        "POSTRAY_DELIVERY_MODE": "relay",
        "POSTRAY_DELIVERY_RELAY": relay,
        "POSTRAY_DELIVERY_RETRY_SCHEDULE_S": "1,1,2",
        "POSTRAY_DELIVERY_LEASE_S": "5",
        "POSTRAY_DELIVERY_SENDING_LEASE_S": f"{sending_lease_s:.0f}",
        "POSTRAY_DELIVERY_OFFER_GRACE_S": "2",
        "POSTRAY_DELIVERY_LIFETIME_S": f"{LIFETIME_S:.0f}",
        "POSTRAY_DELIVERY_CONNECTION_IDLE_S": "5",
        "POSTRAY_DELIVERY_DSN_WINDOW_S": f"{REPORTED_S:g}",
        "POSTRAY_BOUNCE_BIND": mail_in,
        "POSTRAY_BOUNCE_COMPLAINT_ADDRESSES": FEEDBACK,
        "POSTRAY_SMTP_HELO_NAME": "chaos.example.com",
        "POSTRAY_RAY_OBJECT_STORE_MB": "128",
        "POSTRAY_WEBHOOKS_ALLOW_NETWORKS": "127.0.0.0/8",
        "POSTRAY_WEBHOOKS_TIMEOUT_S": f"{SMTP_TIMEOUT_S:g}",
        "POSTRAY_WEBHOOKS_RETRY_SCHEDULE_S": "1,1,2",
    } | {f"POSTRAY_SMTP_{name}_TIMEOUT_S": f"{SMTP_TIMEOUT_S:g}" for name in smtp}


class ChaosWorld:
    """The parts of a run, from ``open`` to ``close``. ``nodes``: of a cluster; 0 is postray on one machine.
    ``remembers``: whether the cluster's head has a Redis."""

    def __init__(self, faults: Sequence[ChaosFault], nodes: int = 0, *, remembers: bool = False) -> None:
        # Short: a unix socket's path has at most 107 characters. Readable: under root, Postgres runs as another user.
        self.directory = Path(tempfile.mkdtemp(prefix="pr-chaos-"))
        self.directory.chmod(0o755)
        self.postgres = EmbeddedPostgres(self.directory / "postgres")
        self.sink = SinkProcess(self.directory / "sink", SinkOptions(reads=True))
        self.hook = HookProcess(self.directory / "hook")
        self.dsn = ""
        self._mail_in = HeldPort(ANY_PORT)
        self._faults = faults
        self._nodes = nodes
        self._remembers = remembers
        self.later = ""
        """The folder of the later release, where nodes change theirs."""
        self._postray: PostrayProcess | None = None

    @property
    def postray(self) -> PostrayProcess:
        assert self._postray is not None
        return self._postray

    def open(self) -> None:
        """Start everything; returns when postray is ready. Raises benchmarks.postray.DidNotStart."""
        if any(fault.kind is FaultKind.CHANGE_RELEASE for fault in self._faults):
            later = self.directory / "later"
            make_later_release(later)
            self.later = str(later)
        relay = self.sink.start()
        self.dsn = self.postgres.start()
        settings = variables(relay, self.dsn, self._mail_in.bind, self._faults)
        data_dir = self.directory / "data"
        self._postray = (
            ClusterPostray(data_dir, settings, self._nodes, remembers=self._remembers)
            if self._nodes
            else PostrayProcess(data_dir, settings)
        )
        self._postray.start()

    @property
    def submission(self) -> Submitting:
        """A client that submits mail."""
        return Submitting(self.postray.submission, self.postray.key)

    @property
    def mail_in(self) -> Submitting:
        """A client that sends reports."""
        return Submitting(self._mail_in.bind)

    @property
    def operator(self) -> Client:
        """A client with the operator's token."""
        return Client(self.postray.url, self.postray.operator_token)

    def keep_book(self, load: LoadStream, readers: Readers, reporters: Reporters) -> None:
        """Write the requests and answers into the scratch directory."""
        for name, records in (
            ("sent", load.sent),
            ("cancels", load.cancels),
            ("fetches", readers.fetches),
            ("unsubscribes", readers.unsubscribes),
            ("reports", reporters.reports),
        ):
            (self.directory / f"{name}.json").write_bytes(msgspec.json.encode(records))

    def close(self, *, keep: bool) -> None:
        """End everything; returns when no process is left."""
        with ExitStack() as steps:  # in reverse order; each runs even if another fails
            if not keep:
                steps.callback(shutil.rmtree, self.directory, ignore_errors=True)
            steps.callback(self.postgres.stop)
            steps.callback(self.sink.stop)
            steps.callback(self.hook.stop)
            if self._postray is not None:
                steps.callback(self._postray.kill)
