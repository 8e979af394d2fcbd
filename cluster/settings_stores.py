"""The settings of Postgres, of ClickHouse, of the SQL door, and of how long data is kept."""

from typing import Literal

from cluster.settings_section import Section

DEFAULT_BIND = "127.0.0.1:8123"


class PostgresSettings(Section, frozen=True, kw_only=True):
    dsn: str = ""
    """libpq connection string; "" starts the embedded server in data_dir."""


class ClickHouseSettings(Section, frozen=True, kw_only=True):
    dsn: str = ""
    """clickhouse(s)://user:password@host:port/database; "" uses the embedded engine (chDB) in data_dir."""
    poll_interval_ms: int = 100
    """How often the recorder polls for new events when the log was empty."""


class AnalyticsSettings(Section, frozen=True, kw_only=True):
    bind: str = DEFAULT_BIND
    """host:port where ClickHouse's HTTP interface answers queries, on the head node. It is not encrypted: leave it on
    loopback, or put a TLS proxy before it. "" is none; port 0 takes a free one. The demo takes a free one when the port
    is in use."""
    password: str = ""
    """The password of the operator's login, postray; "" keeps one in data_dir/sql.password."""
    tenants: Literal["confined", "always", "never"] = "confined"
    """Whether API keys with stats.export may log in, to read their tenant's rows. confined: where the kernel can
    confine the embedded engine to its folder (Landlock). With clickhouse.dsn nothing is confined here."""
    max_queries: int = 2
    """Queries that run at the same time, each on one core."""
    max_waiting: int = 20
    """Queries that wait for a turn; more are refused."""
    max_query_s: float = 120.0
    """Time limit for a query and the reading of its answer."""
    max_memory_mb: int = 512
    """Memory of one query; what sorts and groups more goes to the disk."""
    max_spill_mb: int = 4096
    """Disk that one query may take for that."""
    max_result_rows: int = 50_000_000
    """Rows of one answer."""


class RetentionSettings(Section, frozen=True, kw_only=True):
    """What is unfinished is kept however old it is."""

    bodies_days: int = 7
    """Days after the end of a day (UTC) until the bodies and the attachments of its messages are deleted."""
    messages_days: int = 30
    """The same for the messages themselves, and everything about them but their events; bodies_days at least."""
    events_days: int = 400
    """Days until events are deleted from ClickHouse, a month of them at once; messages_days at least."""
    statistics_days: int = 1830
    """Days until the counts for statistics are deleted, a year of them at once; events_days at least."""
    samples_days: int = 14
    """Days until the samples of the flight recorder are deleted, a day of them at once."""
