"""The stages of an SMTP session, from the connection to QUIT."""

from enum import StrEnum


class Stage(StrEnum):
    """The step that was being waited for when something failed, or that a reply answers."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    """The command: not offered, or refused by the host."""
    TLS = "tls"
    """The TLS handshake, including the certificate check."""
    AUTH = "auth"
    IDLE = "idle"
    """Between two transactions."""
    RSET = "rset"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    END_OF_DATA = "end_of_data"
    """The reply to the final dot or to BDAT LAST, including the writing of the body before it."""
    QUIT = "quit"
