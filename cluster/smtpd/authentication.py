"""AUTH PLAIN and LOGIN (RFC 4954, RFC 4616): the exchange of one attempt. Pure."""

import binascii
from base64 import b64decode

from msgspec import Struct

from cluster.smtpd.envelope import ServerReply

CANCELLED = ServerReply(501, "5.7.0 authentication cancelled")
MALFORMED = ServerReply(501, "5.5.2 the response is no base64 of a user and a password")
UNKNOWN_MECHANISM = ServerReply(504, "5.5.4 only PLAIN and LOGIN are offered")
_USER, _PASSWORD = ServerReply(334, "VXNlcm5hbWU6"), ServerReply(334, "UGFzc3dvcmQ6")  # as all clients expect
_EMPTY = ServerReply(334, "")


class Credentials(Struct, frozen=True):
    user: str
    password: str


class Exchange:
    """One attempt: ``begin`` with the arguments of AUTH, then ``answer`` with each line of the client."""

    def __init__(self) -> None:
        self._user: str | None = None
        self._is_plain = False

    def begin(self, argument: str) -> ServerReply | Credentials:
        """A challenge (334), the credentials, or the reply that ends the attempt."""
        mechanism, _, initial = argument.partition(" ")
        match mechanism.upper():
            case "PLAIN":
                self._is_plain = True
                return self.answer("" if initial == "=" else initial) if initial else _EMPTY
            case "LOGIN":
                return self.answer(initial) if initial else _USER
        return UNKNOWN_MECHANISM

    def answer(self, line: str) -> ServerReply | Credentials:
        if line == "*":
            return CANCELLED
        try:
            said = b64decode(line.encode(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return MALFORMED
        if self._is_plain:
            identity, *rest = said.split("\0")
            # An identity to act for other than the user is not supported: the key says who that is.
            if len(rest) != 2 or not rest[0] or identity not in ("", rest[0]):
                return MALFORMED
            return Credentials(rest[0], rest[1])
        if self._user is None:
            self._user = said
            return _PASSWORD
        return Credentials(self._user, said)
