"""The settings of mail that postray delivers: delivery, SMTP, DNS, TLS and TLS reports."""

from typing import Literal

from msgspec import field

from cluster.settings_section import Section


class DeliverySettings(Section, frozen=True, kw_only=True):
    mode: Literal["capture", "direct", "relay"] = "capture"
    """capture: all mail to the built-in sink. direct: to the recipients' mail exchangers. relay: to a smarthost."""
    relay: str = ""
    """host:port of the smarthost, for mode "relay"."""
    actors_per_node: int = 2
    connections_per_site: int = 20
    """Connections to one site, for the whole cluster."""
    messages_per_s_per_site: float = 0.0
    """Messages a second to one site, for the whole cluster; 0 sets no limit."""
    messages_per_connection: int = 1000
    """A connection is closed (QUIT) after this many transactions."""
    connection_idle_s: float = 30.0
    """An unused connection is closed (QUIT) after this long."""
    window: int = 5000
    """The most deliveries that one delivery actor holds in memory, over all its sites."""
    shaping_file: str = "shaping.toml"
    """Limits by site, source and tenant. The file is optional. "postray shaping reload" activates a changed one."""
    routing_file: str = "routing.toml"
    """Sources, pools and routes. The file is optional. It is activated together with shaping_file."""
    capture_sink: bool = False
    """The capture sink runs in the other modes as well, for routes via "capture"."""
    split_sites: dict[str, int] = field(default_factory=dict)
    """Sites with too much mail for one process, such as {"google.com" = 2}, and the number of shares that each has at
    least: hot sites are split by themselves. A share has its part of the site's limits."""
    lease_s: float = 60.0
    """How long a delivery actor may hold a delivery without claiming it."""
    sending_lease_s: float = 1800.0
    """How long a claimed delivery may stay without an outcome. It is longer than any SMTP transaction may last."""
    stop_wait_s: float = 60.0
    """When postray stops, it waits this long for the replies of hosts that have received a whole message: without the
    reply the message would be sent again. All other deliveries are released at once; a second signal ends the wait."""
    offer_grace_s: float = 10.0
    """A newly accepted delivery is offered to its owner directly; the scheduler picks it up only after this."""
    lifetime_s: float = 259200.0
    """A message that is not delivered this long after its send time bounces."""
    dsn_window_s: float = 0.0
    """For so long after a host took a message it counts as sent, not as delivered: the host may still report a failure,
    to bounce.bind. 0: it counts as delivered at once, and a later report still makes it bounced."""
    retry_schedule_s: tuple[float, ...] = (60, 300, 900, 1800, 3600, 7200, 14400)
    """Delays between attempts after transient failures; the last one repeats until the lifetime ends."""


class SmtpSettings(Section, frozen=True, kw_only=True):
    port: int = 25
    """Port of the mail exchangers in direct mode."""
    helo_name: str = ""
    """The name in EHLO: a domain or an address literal ("[192.0.2.1]"); "" takes this host's fully qualified name."""
    allowed_networks: tuple[str, ...] = ()
    """Networks that are not public and may still be connected to when the DNS names them, for mail exchangers in direct
    mode and for servers of MTA-STS policies. A domain's owner chooses its addresses, so by default private, shared,
    link-local, loopback and reserved addresses are refused. A smarthost is the operator's choice, so it is exempt."""
    prohibited_networks: tuple[str, ...] = ()
    """Networks that are never connected to: public ones, or parts of the allowed ones."""
    connect_timeout_s: float = 30.0
    greeting_timeout_s: float = 300.0
    """RFC 5321 §4.5.3.2.1: 5 minutes."""
    mail_timeout_s: float = 300.0
    """RFC 5321 §4.5.3.2.2: 5 minutes."""
    rcpt_timeout_s: float = 300.0
    """RFC 5321 §4.5.3.2.3: 5 minutes."""
    data_initiation_timeout_s: float = 120.0
    """RFC 5321 §4.5.3.2.4: 2 minutes."""
    data_block_timeout_s: float = 180.0
    """RFC 5321 §4.5.3.2.5: 3 minutes."""
    data_termination_timeout_s: float = 600.0
    """RFC 5321 §4.5.3.2.6: 10 minutes."""


class DnsSettings(Section, frozen=True, kw_only=True):
    nameservers: tuple[str, ...] = ()
    """ip:port of the resolvers; empty takes the system's."""
    timeout_s: float = 5.0
    """Time limit of one query to one server."""
    tries: int = 2
    lookups_at_once: int = 512
    """Concurrent queries of one process; more queries wait for their turn."""
    cache_entries: int = 100_000
    """Answers in one process's cache, about 0.5 KB each; the least recently used are dropped first."""
    stale_s: float = 86400.0
    """How long an expired answer is still used when the DNS does not answer (RFC 8767); 0 never uses one."""


class TlsSettings(Section, frozen=True, kw_only=True):
    ca_file: str = ""
    """PEM file of the trusted certificate authorities, for mail exchangers and policies; "" takes the system's."""
    mta_sts: bool = True
    """Whether MTA-STS policies (RFC 8461) of domains are fetched and followed."""
    mta_sts_port: int = 443
    """Port of the HTTPS servers that publish the policies."""
    mta_sts_timeout_s: float = 20.0
    """Time limit for fetching a policy. RFC 8461 §3.3 suggests a minute; the domain's first mail waits for it."""
    dane: bool = False
    """Whether TLSA records are followed (RFC 7672). This needs dns.nameservers that validate DNSSEC and a path to them
    that is safe from tampering, because their AD bit is trusted."""
    broken_host_s: float = 3600.0
    """With level "opportunistic", a host on which TLS fails receives plain text for this long."""
    cache_entries: int = 10_000
    """Size of each cache: policies, TLSA answers, and hosts with broken TLS."""
    results_keep_days: int = 30
    """How long the journal keeps the counts for TLS reports (RFC 8460)."""


class TlsReportSettings(Section, frozen=True, kw_only=True):
    sender: str = ""
    """The sender of the daily TLS reports (RFC 8460), which domains ask for in the DNS: an address of a verified sender
    domain, whose keys sign them. "": none are sent."""
    organization: str = ""
    """Who reports, in words; "" takes the domain of the sender."""
    contact: str = ""
    """Whom the receivers of reports may ask, such as an address; "" takes the sender."""
