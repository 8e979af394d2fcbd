"""Which certificate authorities a TLS context trusts: those of a file, or the system's."""

import ssl


def trust(context: ssl.SSLContext, ca_file: str) -> None:
    """Load the authorities of a PEM file; "" takes the system's. Raises OSError, ssl.SSLError."""
    # RFC 8461 §4.1 and RFC 9525 §2 accept names from subjectAltName only.
    context.hostname_checks_common_name = False
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
