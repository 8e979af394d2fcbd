"""What an operator can do about what binds: a sentence or two for each limit."""

from collections.abc import Mapping

from cluster.policy.limits.binding import Bound

_RAISE = "in shaping.toml if the receiver takes more"
_BY = "The list of limits, here and in postray route DOMAIN, names the rule that gives"

ADVICE: Mapping[Bound, str] = {
    Bound.NOTHING: "",
    Bound.SUSPENSION: (
        "It ends by itself at its time; Resume (postray resume) ends it now. If automation suspended the site, what "
        "its hosts said tells why: mend that first."
    ),
    Bound.NO_MACHINE: (
        "Give a machine the source's addresses, or take the source out of its pool in routing.toml; postray reroute "
        "moves what waits to another pool."
    ),
    Bound.WARM_UP: (
        "More goes tomorrow, by the plan of the source (warm_up in routing.toml). Sooner: another source in the pool, "
        "or a larger plan, which a receiver may take amiss."
    ),
    Bound.DNS: (
        "postray route DOMAIN says what the DNS answers, and postray doctor whether the resolver works. If only this "
        "domain fails, its owner has to mend it; what waits is tried again."
    ),
    Bound.TLS: (
        "postray route DOMAIN shows what demands TLS: the domain's MTA-STS or DANE, a rule's key tls, or the tenant. "
        "The hosts need a valid certificate; a rule of yours for the domain can ask for less."
    ),
    Bound.BACK_OFF: (
        "Its hosts refuse connections, or cannot be reached. postray doctor --port25 HOST tells whether port 25 is "
        "open from here; else wait: one connection at a time is tried."
    ),
    Bound.SILENT_HOSTS: (
        "Its hosts take connections and then say nothing. Wait: what is on the wire ends by its timeouts, and a probe "
        "tries again. The dialogues, live (postray trace), show where they stop."
    ),
    Bound.DEFERRALS: (
        "What the hosts said last tells why. Greylisting passes by itself at the next attempt; where they ask for "
        "less, lower message_rate or connections; where they name a block list or a DNS record, mend that."
    ),
    Bound.TENANT_LIMITS: (
        "Rules of shaping.toml for these tenants (tenant = …) limit them here. Raise them if the receiver takes more."
    ),
    Bound.MESSAGE_RATE: (
        f"{_BY} message_rate. Raise it {_RAISE}, or add a source to the pool: each has the rate for itself."
    ),
    Bound.CONNECTION_RATE: (
        f"{_BY} connection_rate. Raise it {_RAISE}; or raise messages_per_connection, so that fewer are needed."
    ),
    Bound.CONNECTIONS_PER_IP: f"{_BY} connections_per_ip. Raise it {_RAISE}.",
    Bound.CONNECTIONS: (
        f"{_BY} connections. Raise it {_RAISE}, or add a source to the pool: each has the connections for itself."
    ),
}
