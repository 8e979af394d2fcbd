"""The stages of an SMTP session, from the connection to QUIT: what was waited for when something happened."""

from enum import StrEnum


class Stage(StrEnum):
    """What was being waited for when something failed, or what a reply answers."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    """The command: not offered, or refused."""
    TLS = "tls"
    """The TLS handshake, the certificate check included."""
    AUTH = "auth"
    IDLE = "idle"
    """Between two transactions."""
    RSET = "rset"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    END_OF_DATA = "end_of_data"
    """The reply to the final dot or to BDAT LAST, the writing of the body before it included."""
    QUIT = "quit"
