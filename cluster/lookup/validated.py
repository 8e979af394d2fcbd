"""A resolver whose answers say whether DNSSEC validates them: dnspython's, since c-ares does not expose that bit.

The name server validates (RFC 6840 §5.8), and one bit covers the whole answer.
"""

import dns.asyncresolver
import dns.flags
import dns.nameserver

from cluster.settings import DnsSettings, host_port

# DNS flag day 2020: answers up to this size are not fragmented; larger ones are fetched over TCP.
_EDNS_BYTES = 1232


def validated_resolver(settings: DnsSettings) -> dns.asyncresolver.Resolver:
    """Raises dns.resolver.NoResolverConfiguration where the settings name no server, and the system has none."""
    made = dns.asyncresolver.Resolver(configure=not settings.nameservers)
    if settings.nameservers:
        servers = [host_port(server) for server in settings.nameservers]
        made.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in servers]
    made.use_edns(0, dns.flags.DO, _EDNS_BYTES)
    made.flags = dns.flags.RD | dns.flags.AD
    made.timeout = settings.timeout_s
    made.lifetime = settings.timeout_s * settings.tries * max(1, len(made.nameservers))
    return made
