"""TLS towards mail exchangers: the levels, and one client context for each (RFC 3207, RFC 7435, RFC 8996).

Owns what a level means to OpenSSL. Never connects, never decides which level a destination gets.
"""

import functools
import ssl

from cluster.policy.tls_level import TlsLevel


@functools.cache
def client_context(level: TlsLevel) -> ssl.SSLContext:
    """The shared context of a level.

    Cached, since loading the trusted authorities costs about 20 ms. What needs other trust (a private authority,
    DANE) makes its own context and hands that to the connection.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996 retires what is older
    if level is not TlsLevel.VERIFIED:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def server_name(host: str) -> str:
    """The name for SNI and the certificate check: that of the host, without the root's dot."""
    return host.rstrip(".").lower()
