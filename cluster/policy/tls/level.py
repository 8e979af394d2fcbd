"""The levels of TLS towards a host, from none to a verified certificate (RFC 3207, RFC 7435), and the level that a
password requires (RFC 4954 §4)."""

from enum import StrEnum


class TlsLevel(StrEnum):
    NONE = "none"
    """STARTTLS is not used even when it is offered."""
    OPPORTUNISTIC = "opportunistic"
    """Used when offered, with any certificate; plain text otherwise. RFC 7435: some protection is better than none."""
    REQUIRED = "required"
    """No mail without encryption; any certificate is accepted."""
    VERIFIED = "verified"
    """A certificate that a trusted authority issued to the host's name."""


class AuthNeeds(StrEnum):
    """What a session must have proved before a route's password is sent in it."""

    VERIFIED = "verified"
    """A certificate that a trusted authority, or a TLSA record, confirms as the host's."""
    ENCRYPTED = "encrypted"
    """TLS. The other end is not authenticated."""
    NOTHING = "nothing"
    """Plain text is accepted. Any eavesdropper learns the password."""

    @property
    def level(self) -> TlsLevel:
        """The TLS level that this asks for."""
        return {"verified": TlsLevel.VERIFIED, "encrypted": TlsLevel.REQUIRED}.get(self, TlsLevel.OPPORTUNISTIC)

    @property
    def reason(self) -> str:
        """Why the password was not sent."""
        return f'the route\'s auth_needs = "{self}" keeps the password back'
