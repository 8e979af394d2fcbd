"""The SMTP commands of the server, over one connection.

This module owns the command sequence (RFC 5321 §4.1.4), the transaction, BDAT (RFC 3030), and what STARTTLS resets
(RFC 3207 §4.2). ``on_message`` decides the fate of a message; ``LoginSession`` owns AUTH, ``ServerProtocol`` the
connection.
"""

import asyncio
import logging
from collections.abc import Callable
from inspect import isawaitable

from cluster.printable import printable
from cluster.smtpd import syntax
from cluster.smtpd.content import ContentReader, Problem
from cluster.smtpd.envelope import Answer, Extension, ReceivedMessage, RecipientDsn, ServerReply, Then
from cluster.smtpd.login import LOCAL_ERROR, NOT_IMPLEMENTED, OUT_OF_ORDER, TOO_MANY_ERRORS, LoginSession
from cluster.smtpd.protocol import RECEIVING, ServerState, Service
from cluster.smtpd.proxy_protocol import Client

log = logging.getLogger(__name__)

_BAD_LINE = ServerReply(500, "5.5.2 a line must end in CRLF and hold no other control character")
_LONG_LINE = ServerReply(500, "5.5.2 line too long")
_UNKNOWN = ServerReply(500, "5.5.2 command not recognized")
_NO_RECIPIENTS = ServerReply(554, "5.5.1 no valid recipients")
_TOO_MANY_RECIPIENTS = ServerReply(452, "4.5.3 too many recipients")
_BAD_CHUNK = ServerReply(501, "5.5.4 BDAT without a size cannot be followed", then=Then.CLOSE)
_OK = ServerReply(250, "2.0.0 ok")
_CHUNK_TAKEN = ServerReply(250, "2.0.0 chunk taken")
_MAIL_OK = ServerReply(250, "2.1.0 sender ok")
_RCPT_OK = ServerReply(250, "2.1.5 recipient ok")
_NEEDS_LOGIN = ServerReply(530, "5.7.0 authentication required")
_NOT_HTTP = ServerReply(421, "4.7.0 this is SMTP", then=Then.CLOSE)
_OF_HTTP = frozenset(("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH"))
_GO_AHEAD = ServerReply(354, "end with <CRLF>.<CRLF>")
_READY_FOR_TLS = ServerReply(220, "2.0.0 ready for TLS")
_CANNOT_VERIFY = ServerReply(252, "2.5.0 not verified, but mail will be taken")
_BYE = ServerReply(221, "2.0.0 bye", then=Then.CLOSE)
_MESSAGE_TAKEN = ServerReply(250, "2.0.0 message taken")
_PROBLEMS = {
    Problem.TOO_BIG: syntax.TOO_BIG,
    Problem.LONG_HEADER: ServerReply(552, "5.3.4 the header is larger than this server takes"),
    Problem.NO_ROOM: ServerReply(452, "4.3.1 no room for the message now"),
    Problem.BARE_LINE_END: ServerReply(550, "5.6.0 bare CR or LF in the message (RFC 5321 section 2.3.8)"),
}


class ServerSession(LoginSession):
    """The commands of one connection, and their transaction."""

    def __init__(
        self, service: Service, client: Client | None = None, counted: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(service, client, counted)
        self._overlong = False
        self._refusals = 0
        self._transactions = 0
        self._helo = ""
        self._offered: frozenset[Extension] = frozenset()
        self._chunk: syntax.Chunk | None = None
        self._chunk_left = 0
        self._mail: syntax.MailCommand | None = None
        self._recipients: list[str] = []
        self._dsn: list[RecipientDsn] = []
        self._refused_recipients = 0
        self._content: ContentReader | None = None
        self._pending: asyncio.Future[Answer] | None = None

    def in_transaction(self) -> bool:
        return self._mail is not None

    def work(self) -> bool:
        if self.state is ServerState.COMMAND:
            return self._next_command()
        return self._next_data() if self.state is ServerState.DATA else self._next_chunk()

    def forget(self) -> None:
        self._helo, self._offered = "", frozenset()
        self.forget_login()
        self._forget_transaction()

    def _forget_transaction(self) -> None:
        if self._content is not None:
            self._content.release()
            self._content = None
            self.content_ends()
        self._mail = None
        self._recipients = []
        self._dsn = []
        self._refused_recipients = 0

    def _begin_content(self) -> None:
        self._content = ContentReader(self.service)
        self.content_begins()

    def _next_command(self) -> bool:
        end = self.input.find(b"\n", self.position)
        limit = self.options.max_line_bytes
        if (len(self.input) if end < 0 else end) - self.position >= limit:
            if not self._overlong:
                self._overlong = True
                self.complain(_LONG_LINE)
            self.position = len(self.input) if end < 0 else end
            return end >= 0
        if end < 0:
            return False
        line = bytes(self.input[self.position : end + 1])
        self.position = end + 1
        if self._overlong:  # the rest of a line that was already refused
            self._overlong = False
            return True
        # A line that ends in a bare LF is not a command: a server in front may have seen it as part of the content.
        if line[-2:] != b"\r\n" or b"\r" in line[:-2] or b"\0" in line:
            self.complain(_BAD_LINE)
            return True
        try:
            self._command(line[:-2].decode())
        except UnicodeDecodeError:
            self.complain(_BAD_LINE)
        return self.state in RECEIVING

    def _command(self, line: str) -> None:
        if self.exchange is not None:
            self.go_on_with(self.exchange.answer(line))
            return
        if self.behaviour.command is not None:
            answer = self.behaviour.command(line)
            if answer is not None:
                self.say(answer)
                return
        verb, _, argument = line.partition(" ")
        handler = _HANDLERS.get(verb) or _HANDLERS.get(verb.upper())
        if handler is None and verb in _OF_HTTP:
            self.say(_NOT_HTTP)
        elif handler is None:
            self.complain(_UNKNOWN)
        else:
            handler(self, argument)

    def _next_data(self) -> bool:
        assert self._content is not None
        taken = self._content.take_lines(self.input, self.position)
        self.position = len(self.input) if taken is None else taken
        if taken is None:
            return False
        self.state = ServerState.COMMAND
        self._end_of_data()
        return self.state in RECEIVING

    def _next_chunk(self) -> bool:
        length = min(self._chunk_left, len(self.input) - self.position)
        if self._content is not None:
            self._content.take_octets(self.input, self.position, length)
        self.position += length
        self._chunk_left -= length
        if self._chunk_left == 0:
            self._end_of_chunk()
        return self.state in RECEIVING

    # Commands

    def _on_hello(self, argument: str, extended: bool) -> None:
        name = argument.strip()
        if not name:
            self.complain(syntax.NO_SYNTAX)
            return
        offered = set(self.options.extensions) if extended else set()
        if self.service.tls is None or self.tls_version:
            offered.discard(Extension.STARTTLS)
        if self.service.authenticate is None or not self.tls_version or self.login is not None:
            offered.discard(Extension.AUTH)
        keywords = [
            f"SIZE {self.options.max_message_bytes}" if keyword is Extension.SIZE else keyword.value
            for keyword in Extension
            if keyword in offered
        ]
        greeting = "\n".join([f"{self.options.hostname} greets {printable(name)}", *keywords])
        answer = self.behaviour.ehlo(name) if self.behaviour.ehlo is not None else None
        if _goes_ahead(answer):
            self._forget_transaction()
            self._helo, self._offered = name, frozenset(offered)
        self.say(ServerReply(250, greeting) if answer is None else answer)

    def _on_starttls(self, argument: str) -> None:
        service = self.service
        if service.tls is None or Extension.STARTTLS not in self.options.extensions:
            self.complain(NOT_IMPLEMENTED)
        elif self.tls_version or self._mail is not None:
            self.complain(OUT_OF_ORDER)
        elif argument:
            self.complain(syntax.NO_SYNTAX)
        elif self.behaviour.starttls is not None and (answer := self.behaviour.starttls()) is not None:
            self.say(answer)
        else:
            self.start_tls(service.tls, _READY_FOR_TLS)

    def _on_mail(self, argument: str) -> None:
        if not self._helo or self._mail is not None:
            self.complain(OUT_OF_ORDER)
            return
        if self.service.authenticate is not None and self.login is None:
            self.complain(_NEEDS_LOGIN)
            return
        mail = syntax.mail(argument, self._offered, self.options.max_message_bytes)
        if isinstance(mail, ServerReply):
            self.say(mail)
            return
        answer = self.behaviour.mail(mail.address) if self.behaviour.mail is not None else None
        if _goes_ahead(answer):
            self._mail = mail
        self.say(_MAIL_OK if answer is None else answer)

    def _on_rcpt(self, argument: str) -> None:
        if self._mail is None or self._content is not None:
            self.complain(OUT_OF_ORDER)
            return
        rcpt = syntax.rcpt(argument, self._mail.smtputf8, self._offered)
        answer: Answer = None
        if isinstance(rcpt, ServerReply):
            answer = rcpt
        elif len(self._recipients) >= self.options.max_recipients:
            answer = _TOO_MANY_RECIPIENTS
        elif self.behaviour.rcpt is not None:
            answer = self.behaviour.rcpt(rcpt.address)
        if not isinstance(rcpt, ServerReply) and _goes_ahead(answer):
            self._recipients.append(rcpt.address)
            if rcpt.dsn is not None:
                self._dsn.append(rcpt.dsn)
        else:
            self._refused_recipients += 1
            self._refusals += 1
        self.say(_RCPT_OK if answer is None else answer)
        if self._refusals >= self.options.max_refused_recipients and self.state in RECEIVING:
            self.say(TOO_MANY_ERRORS)

    def _not_ready_for_content(self) -> ServerReply | None:
        if self._recipients:
            return None
        return _NO_RECIPIENTS if self._refused_recipients else OUT_OF_ORDER

    def _on_data(self, argument: str) -> None:
        if argument:
            self.complain(syntax.NO_SYNTAX)
        elif self._content is not None:  # RFC 3030 §2: BDAT and DATA do not mix
            self.complain(OUT_OF_ORDER)
        elif (problem := self._not_ready_for_content()) is not None:
            self.complain(problem)
        else:
            answer = self.behaviour.data() if self.behaviour.data is not None else None
            if _goes_ahead(answer):
                self._begin_content()
                self.state = ServerState.DATA
            self.say(_GO_AHEAD if answer is None else answer)

    def _on_bdat(self, argument: str) -> None:
        if Extension.CHUNKING not in self.options.extensions:
            self.complain(NOT_IMPLEMENTED)
            return
        self._chunk = syntax.bdat(argument)
        if self._chunk is None:
            # The number of octets to skip is unknown; reading them as commands would let a message issue commands.
            self.say(_BAD_CHUNK)
            return
        # Without recipients the octets are still read, and dropped (RFC 3030 §2).
        if self._content is None and self._not_ready_for_content() is None:
            self._begin_content()
        self._chunk_left = self._chunk.size
        self.state = ServerState.CHUNK
        if self._chunk_left == 0:
            self._end_of_chunk()

    def _end_of_chunk(self) -> None:
        assert self._chunk is not None
        self.state = ServerState.COMMAND
        if self._content is None:
            self.complain(self._not_ready_for_content() or OUT_OF_ORDER)
        elif self._chunk.last:
            self._content.end_octets()
            self._end_of_data(chunked=True)
        elif self._content.problem is not None:
            self.say(_PROBLEMS[self._content.problem])
        else:
            self.say(_CHUNK_TAKEN)

    def _on_rset(self, argument: str) -> None:
        self._forget_transaction()
        self.say(_OK)

    # The end of a message

    def _end_of_data(self, chunked: bool = False) -> None:
        content = self._content
        assert content is not None and self._mail is not None
        if content.problem is not None:
            answer: Answer = _PROBLEMS[content.problem]
            self.service.refused += 1
            self._forget_transaction()
            self.say(answer)
            return
        self._transactions += 1
        self.began_at = self._loop.time()
        envelope = ReceivedMessage(
            mail_from=self._mail.address,
            rcpt_to=tuple(self._recipients),
            content=content.finish(),
            helo=self._helo,
            peer=self.peer,
            address=self.address,
            tls_version=self.tls_version,
            tls_cipher=self.tls_cipher,
            body=self._mail.body,
            smtputf8=self._mail.smtputf8,
            chunked=chunked,
            session=self.number,
            transaction=self._transactions,
            login=self.login,
            envelope_id=self._mail.envelope_id,
            dsn=tuple(self._dsn),
        )
        self._answer_message(envelope)

    def _answer_message(self, envelope: ReceivedMessage) -> None:
        scripted = self.behaviour.end_of_data(envelope) if self.behaviour.end_of_data is not None else None
        try:
            answer = self.service.on_message(envelope) if scripted is None else scripted
        except Exception:
            log.exception("the message from %s could not be taken", self.peer)
            answer = LOCAL_ERROR
        if isawaitable(answer):
            self.wait()
            self._pending = asyncio.ensure_future(answer, loop=self._loop)  # to find the loop takes longer
            self._pending.add_done_callback(self._message_answered)
        else:
            self.say(self._conclude(answer))

    def _message_answered(self, future: "asyncio.Future[Answer]") -> None:
        answer: Answer = LOCAL_ERROR
        if not future.cancelled():
            error = future.exception()
            if error is None:
                answer = future.result()
            else:
                log.error("the message from %s could not be taken", self.peer, exc_info=error)
        self._pending = None
        self.go_on(self._conclude(answer))

    def _conclude(self, answer: Answer) -> Answer:
        if _goes_ahead(answer):
            self.service.accepted += 1
        else:
            self.service.refused += 1
        self._forget_transaction()
        return _MESSAGE_TAKEN if answer is None else answer


def _goes_ahead(answer: Answer) -> bool:
    """Whether a command with this answer takes effect."""
    if isinstance(answer, ServerReply):
        return answer.code < 400
    if isinstance(answer, bytes):
        return answer[:1] in (b"2", b"3")
    return answer is None


_HANDLERS: dict[str, Callable[[ServerSession, str], None]] = {
    "EHLO": lambda session, argument: session._on_hello(argument, extended=True),
    "HELO": lambda session, argument: session._on_hello(argument, extended=False),
    "STARTTLS": ServerSession._on_starttls,
    "MAIL": ServerSession._on_mail,
    "RCPT": ServerSession._on_rcpt,
    "DATA": ServerSession._on_data,
    "BDAT": ServerSession._on_bdat,
    "RSET": ServerSession._on_rset,
    "NOOP": lambda session, argument: session.say(_OK),
    "VRFY": lambda session, argument: session.say(_CANNOT_VERIFY),
    "EXPN": lambda session, argument: session.say(NOT_IMPLEMENTED),
    "AUTH": ServerSession.on_auth,
    "HELP": lambda session, argument: session.say(ServerReply(214, "2.0.0 see RFC 5321")),
    "QUIT": lambda session, argument: session.say(_BYE),
}
