"""The interface of the SMTP server: envelopes, replies, scripted behaviour.

No I/O. The capture sink answers envelopes with replies; tests and benchmarks also script misbehaviour (``Behaviour``),
so that the same server acts as a correct or as a hostile peer.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TypeAlias

from msgspec import Struct


class Extension(StrEnum):
    """The EHLO keywords that the server supports."""

    STARTTLS = "STARTTLS"
    PIPELINING = "PIPELINING"
    CHUNKING = "CHUNKING"
    SIZE = "SIZE"
    EIGHTBITMIME = "8BITMIME"
    SMTPUTF8 = "SMTPUTF8"
    ENHANCEDSTATUSCODES = "ENHANCEDSTATUSCODES"
    DSN = "DSN"
    """The parameters of RFC 3461 are checked and taken; what follows from them is up to the user of the library."""
    AUTH = "AUTH PLAIN LOGIN"
    """Offered over TLS only, by a server that can authenticate."""


USUAL_EXTENSIONS = frozenset(Extension) - {Extension.DSN, Extension.AUTH}


class ServerOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every limit of the server. The defaults suit the capture sink."""

    hostname: str = "localhost"
    """The name in the greeting and in the reply to EHLO."""
    extensions: frozenset[Extension] = USUAL_EXTENSIONS
    """STARTTLS is offered only if the server also has a TLS context."""
    max_message_bytes: int = 40 * 1024 * 1024
    """RFC 1870; a larger message is read and dropped, then refused with 552."""
    max_header_bytes: int = 1024 * 1024
    """Of a message; one with a larger header is read and dropped, then refused with 552."""
    max_held_bytes: int = 256 * 1024 * 1024
    """Content of all connections that is received and not yet answered. Beyond it, messages are refused with 452."""
    max_connections: int = 2000
    max_connections_per_address: int = 2000
    """Of one client; for IPv6, of one /64."""
    max_connections_per_login: int = 2000
    max_recipients: int = 1000
    """RFC 5321 §4.5.3.1.8 asks for at least 100."""
    max_line_bytes: int = 2048
    """A command line. RFC 5321 §4.5.3.1.4 asks for 512, plus the parameters of extensions."""
    max_backlog_bytes: int = 64 * 1024
    """Pipelined input read ahead while a reply is pending; beyond it, the connection is not read."""
    max_errors: int = 50
    """Invalid commands before the connection is closed with 421."""
    max_refused_recipients: int = 1000
    """Recipients that the server refuses before the connection is closed with 421: who guesses addresses is ended."""
    message_timeout_s: float = 3600.0
    """Time from the beginning of a connection, or from its last message, within which the next message is complete.
    It ends clients that send a byte now and then."""
    content_timeout_s: float = 180.0
    """How long the next octets of a message may take: what RFC 5321 §4.5.3.2.5 allows for each block."""
    min_content_bytes_per_s: float = 100.0
    """The lowest average rate at which a message may arrive. It applies once the message has taken
    ``content_timeout_s``."""
    idle_timeout_s: float = 300.0
    """RFC 5321 §4.5.3.2.7: at least 5 minutes."""
    tls_handshake_timeout_s: float = 30.0
    proxy_header_timeout_s: float = 5.0
    """The PROXY protocol asks for at least 3 s: a packet may be sent again."""


class Login(Struct, frozen=True):
    """Who has authenticated."""

    name: str
    """Connections are counted by it; logged."""
    holder: object = None
    """What the user of the library knows of them."""


class RecipientDsn(Struct, frozen=True):
    """What RCPT asked of delivery status notifications about a recipient (RFC 3461 §4.1, §4.2)."""

    recipient: str
    never: bool = False
    """NOTIFY=NEVER: no report at all."""
    original: str = ""
    """ORCPT, as given: a type, ``;`` and xtext."""


class ReceivedMessage(Struct, kw_only=True):
    """One message as received, with the facts of its connection."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    content: bytes
    helo: str
    peer: str
    """address:port of the client."""
    address: str = ""
    """Its address."""
    tls_version: str = ""
    """"TLSv1.3"; "" without TLS."""
    tls_cipher: str = ""
    body: str = "7BIT"
    """BODY= of MAIL (RFC 6152)."""
    smtputf8: bool = False
    chunked: bool = False
    """Sent by BDAT, not DATA."""
    session: int = 0
    """The number of the connection since the server started, the same for all its messages."""
    transaction: int = 0
    """The number of the message within its connection, from 1."""
    login: Login | None = None
    """The login of the client that sent it; None without one."""
    envelope_id: str = ""
    """ENVID of MAIL, decoded (RFC 3461 §4.4)."""
    dsn: tuple[RecipientDsn, ...] = ()
    """One for each recipient with NOTIFY=NEVER or ORCPT."""


class Then(Enum):
    """What follows a reply."""

    CONTINUE = "continue"
    CLOSE = "close"


class ServerAction(Enum):
    """What the server does instead of replying."""

    DROP = "drop"
    """The connection is dropped."""
    SILENCE = "silence"
    """No more replies; input is read and dropped."""


@dataclass(frozen=True, slots=True)
class ServerReply:
    """A reply; lines of text are divided by a newline."""

    code: int
    text: str
    delay_s: float = 0.0
    then: Then = Then.CONTINUE
    wire: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lines = self.text.split("\n")
        wire = "".join(f"{self.code}-{line}\r\n" for line in lines[:-1]) + f"{self.code} {lines[-1]}\r\n"
        object.__setattr__(self, "wire", wire.encode())


Answer: TypeAlias = ServerReply | bytes | ServerAction | None
"""A reply; bytes, sent unchanged (for malformed replies); an action; None for the server's default."""

Authenticate: TypeAlias = Callable[[str, str, str], Awaitable[Login | ServerReply]]
"""Gets user, password and the client's address; returns who that is, or the reply that refuses them."""

OnMessage: TypeAlias = Callable[[ReceivedMessage], Answer | Awaitable[Answer]]
"""Answers a complete message. A future or coroutine delays the reply until it is done; None accepts."""


@dataclass(slots=True, kw_only=True)
class Behaviour:
    """Hooks that replace the server's own answers. A missing hook, or one that returns None, changes nothing.

    With an answer in the 4xx and 5xx range, the command also has no effect.
    """

    greeting: Callable[[], Answer] | None = None
    command: Callable[[str], Answer] | None = None
    """Gets every command line, before the hook of its verb; an answer replaces the whole command."""
    ehlo: Callable[[str], Answer] | None = None
    """Gets the client's name."""
    starttls: Callable[[], Answer] | None = None
    """An answer replaces the whole command: no handshake follows, so bytes can make a broken one."""
    mail: Callable[[str], Answer] | None = None
    """Gets the reverse-path."""
    rcpt: Callable[[str], Answer] | None = None
    """Gets the forward-path."""
    data: Callable[[], Answer] | None = None
    """Answers DATA; not called for BDAT."""
    end_of_data: Callable[[ReceivedMessage], Answer] | None = None
    """An answer replaces ``on_message``, which is then not called."""
