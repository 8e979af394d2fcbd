"""The levels of TLS towards a host, from not asking for it to asking for proof (RFC 3207, RFC 7435)."""

from enum import StrEnum


class TlsLevel(StrEnum):
    NONE = "none"
    """STARTTLS is not used even when it is offered."""
    OPPORTUNISTIC = "opportunistic"
    """Used when offered, whatever the certificate; plain otherwise. RFC 7435: better than never."""
    REQUIRED = "required"
    """No mail without encryption, but any certificate will do."""
    VERIFIED = "verified"
    """A certificate that a trusted authority issued to the host's name."""
