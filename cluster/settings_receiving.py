"""The settings of mail that postray takes over SMTP."""

from cluster.settings_section import Section


class BounceSettings(Section, frozen=True, kw_only=True):
    host: str = ""
    """The MX of the return paths of sender domains: where bounces arrive; "" takes smtp.helo_name."""
    bind: str = ""
    """host:port of the SMTP server that takes bounces, complaints and unsubscribes by mail, on each node; usually port
    25. "" takes none. Port 0 takes a free one."""
    certificate: str = ""
    """PEM file of its certificate and chain, for STARTTLS; "" makes a self-signed one. A changed file is read again."""
    key: str = ""
    """PEM file of the certificate's key."""
    max_connections: int = 500
    """Connections at the same time, on each node."""
    max_connections_per_address: int = 20
    """Connections of one client; for IPv6, of one /64."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks of proxies: connections from them begin with a header of the PROXY protocol, version 2."""
    complaint_addresses: tuple[str, ...] = ()
    """Addresses to which mailbox providers send complaints (feedback loops), such as fbl@bounces.example.com."""
    forward_from: str = ""
    """The sender of reports that are sent on to tenants (mail settings forward_bounce and forward_spam): an address of
    a verified sender domain. "": none is sent on."""

    @property
    def forwards(self) -> bool:
        """Whether reports are sent on to tenants that ask for them."""
        return bool(self.bind and self.forward_from)


class SubmissionSettings(Section, frozen=True, kw_only=True):
    bind: str = ""
    """host:port where programs hand mail over by SMTP with STARTTLS, on each node; usually port 587. "" is none. Port 0
    takes a free one."""
    tls_bind: str = ""
    """The same for clients that begin with TLS; usually port 465."""
    certificate: str = ""
    """PEM file of the certificate, and its chain; "" makes a self-signed one. A changed file is read again."""
    key: str = ""
    """PEM file of the certificate's key."""
    max_connections: int = 2000
    """Connections at the same time, of one API process."""
    max_connections_per_address: int = 200
    """Connections of one client; for IPv6, of one /64."""
    max_connections_per_key: int = 200
    """Connections of one API key, to one API process."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks of proxies: connections from them begin with a header of the PROXY protocol, version 2."""
