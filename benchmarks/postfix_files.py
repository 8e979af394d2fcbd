"""The configuration of Postfix and OpenDKIM for a comparison with postray, and as its client. Pure: the files as text.

Postfix is configured as its own documentation advises for much mail to one destination (TUNING_README, TLS_README,
CONNECTION_CACHE_README), not with its defaults: a comparison with defaults would prove nothing. Features that only
protect against outsiders, or serve other kinds of mail, are off.
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

LOG_NAME = "postfix.log"
DOMAIN = "mail.example.com"
SELECTOR = "bench"


class PostfixPlan(Struct, frozen=True, kw_only=True):
    """The places of all files, and what it does with mail."""

    directory: Path
    """Used by this Postfix only."""
    port: int
    """The port on loopback where it accepts mail."""
    work: Mapping[str, str]
    """What it does with mail, as parameters of main.cf: ``relaying``, ``holding``."""
    signs: bool = False
    """Whether OpenDKIM signs all mail."""

    @property
    def config_dir(self) -> Path:
        return self.directory / "etc"

    @property
    def queue_dir(self) -> Path:
        return self.directory / "queue"

    @property
    def data_dir(self) -> Path:
        return self.directory / "lib"

    @property
    def log(self) -> Path:
        return self.directory / "log" / LOG_NAME

    @property
    def filter_dir(self) -> Path:
        return self.directory / "dkim"

    @property
    def socket(self) -> Path:
        return self.filter_dir / "socket"

    @property
    def key(self) -> Path:
        return self.filter_dir / "key.pem"

    @property
    def filter_conf(self) -> Path:
        return self.filter_dir / "opendkim.conf"


def main_cf(plan: PostfixPlan) -> str:
    """The text of main.cf."""
    return _lines({**_places(plan), **_INTAKE, **(_signing(plan) if plan.signs else {}), **plan.work}, " = ")


def _places(plan: PostfixPlan) -> Mapping[str, str]:
    return {
        "compatibility_level": "3.6",
        "queue_directory": str(plan.queue_dir),
        "data_directory": str(plan.data_dir),
        # A separate file: thousands of lines do not belong in the system's log.
        "maillog_file": str(plan.log),
        "maillog_file_prefixes": str(plan.directory),
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "myhostname": "bench.example.com",
        "mydestination": "",
        "local_recipient_maps": "",
        "alias_maps": "",
        "alias_database": "",
    }


_INTAKE = {
    "mynetworks": "127.0.0.0/8",
    "smtpd_relay_restrictions": "permit_mynetworks, reject",
    "smtpd_recipient_restrictions": "",
    "smtpd_peername_lookup": "no",
    "local_header_rewrite_clients": "",
    # Without both limits the clients are not counted at all, which saves a call per connection.
    "smtpd_client_connection_count_limit": "0",
    "smtpd_client_connection_rate_limit": "0",
    # TUNING_README: when mail arrives faster than it is delivered, intake is delayed by this. Not here.
    "in_flow_delay": "0s",
    # The number of services before a process is replaced: none ends during a measurement, so that the CPU of each
    # can be read to the end.
    "max_use": "1000000",
}


def _signing(plan: PostfixPlan) -> Mapping[str, str]:
    return {
        "smtpd_milters": f"unix:{plan.socket}",
        "milter_protocol": "6",
        # A message that could not be signed must not be sent unsigned.
        "milter_default_action": "tempfail",
    }


def relaying(to: str, *, connections: int, clients: int) -> Mapping[str, str]:
    """All mail goes to the host:port ``to``, over that many connections, while ``clients`` submit."""
    host, _, port = to.rpartition(":")
    limit = str(connections)
    return {
        "relayhost": f"[{host}]:{port}",
        "smtp_dns_support_level": "disabled",
        "default_destination_concurrency_limit": limit,
        "initial_destination_concurrency": limit,
        "default_process_limit": _processes(connections, clients),
        "qmgr_message_active_limit": "100000",
        "qmgr_message_recipient_limit": "100000",
        # TLS_README: connections are reused over TLS, through tlsproxy(8).
        "smtp_tls_security_level": "encrypt",
        "smtp_tls_connection_reuse": "yes",
        "smtp_connection_cache_on_demand": "yes",
        # Deferred mail is retried while the measurement still waits for it.
        "queue_run_delay": "5s",
        "minimal_backoff_time": "5s",
        "maximal_backoff_time": "10s",
    }


def holding(certificate: Path, clients: int) -> Mapping[str, str]:
    """All mail is taken over TLS from that many clients, and held: nothing is delivered. ``certificate``: a PEM file
    with its key."""
    return {
        "smtpd_recipient_restrictions": "static:HOLD",
        "smtpd_tls_security_level": "encrypt",
        "smtpd_tls_chain_files": str(certificate),
        "default_process_limit": _processes(0, clients),
    }


def _processes(connections: int, clients: int) -> str:
    return str(2 * max(connections, clients) + 50)


_UNIX_SERVICES = (
    ("pickup", "unix", "n", "60", "1", "pickup"),
    ("cleanup", "unix", "n", "-", "0", "cleanup"),
    ("qmgr", "unix", "n", "300", "1", "qmgr"),
    ("tlsmgr", "unix", "-", "1000?", "1", "tlsmgr"),
    ("rewrite", "unix", "-", "-", "-", "trivial-rewrite"),
    ("bounce", "unix", "-", "-", "0", "bounce"),
    ("defer", "unix", "-", "-", "0", "bounce"),
    ("trace", "unix", "-", "-", "0", "bounce"),
    ("verify", "unix", "-", "-", "1", "verify"),
    ("flush", "unix", "n", "1000?", "0", "flush"),
    ("proxymap", "unix", "-", "-", "-", "proxymap"),
    ("smtp", "unix", "-", "-", "-", "smtp"),
    ("relay", "unix", "-", "-", "-", "smtp"),
    ("showq", "unix", "n", "-", "-", "showq"),
    ("error", "unix", "-", "-", "-", "error"),
    ("retry", "unix", "-", "-", "-", "error"),
    ("anvil", "unix", "-", "-", "1", "anvil"),
    ("scache", "unix", "-", "-", "1", "scache"),
    ("tlsproxy", "unix", "-", "-", "0", "tlsproxy"),
    ("postlog", "unix-dgram", "n", "-", "1", "postlogd"),
)
"""Name, type, whether private, wake-up time, process limit, command."""


def master_cf(plan: PostfixPlan) -> str:
    """The text of master.cf. Nothing is chrooted: the queue directory has no libraries and no resolver."""
    services = ((f"127.0.0.1:{plan.port}", "inet", "n", "-", "-", "smtpd"), *_UNIX_SERVICES)
    return "".join(
        f"{name} {kind} {private} - n {wake_up} {most} {command}\n"
        for name, kind, private, wake_up, most, command in services
    )


def opendkim_conf(plan: PostfixPlan, user: str) -> str:
    """The text of OpenDKIM's file. ``user``: the user it runs as, with a group that includes Postfix, as user:group."""
    return _lines(
        {
            "Mode": "s",
            "Socket": f"local:{plan.socket}",
            "UserID": user,
            # Postfix, a member of the group, may connect.
            "UMask": "007",
            "Domain": DOMAIN,
            "Selector": SELECTOR,
            "KeyFile": str(plan.key),
            "RequireSafeKeys": "no",
            "Canonicalization": "relaxed/relaxed",
            "SignatureAlgorithm": "rsa-sha256",
            "OversignHeaders": "From",
            "InternalHosts": "127.0.0.1",
            "Background": "no",
            "AutoRestart": "no",
            "Syslog": "no",
        },
        " ",
    )


def _lines(values: Mapping[str, str], between: str) -> str:
    return "".join(f"{name}{between}{value}".rstrip() + "\n" for name, value in values.items())
