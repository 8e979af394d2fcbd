"""The levels of TLS towards a host, from not asking for it to asking for proof (RFC 3207, RFC 7435); and which of them
a password needs (RFC 4954 §4)."""

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


class AuthNeeds(StrEnum):
    """What a session must have shown before the password of a route is said in it."""

    VERIFIED = "verified"
    """A certificate that a trusted authority, or a TLSA record, names as the host's."""
    ENCRYPTED = "encrypted"
    """TLS. The other end is not authenticated."""
    NOTHING = "nothing"
    """Plain text will do. Who listens has the password."""

    @property
    def level(self) -> TlsLevel:
        """The level that a session gets by it, where nothing else asks for one."""
        return {"verified": TlsLevel.VERIFIED, "encrypted": TlsLevel.REQUIRED}.get(self, TlsLevel.OPPORTUNISTIC)

    @property
    def reason(self) -> str:
        """Why the password was not said."""
        return f'the route\'s auth_needs = "{self}" keeps the password back'
