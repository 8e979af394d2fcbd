"""What clients send to the SMTP server in the property test: sessions that make sense, mutated, cut at random. By a
seed, so that each can be repeated."""

from base64 import b64encode
from random import Random

from msgspec import Struct


class Send(Struct, frozen=True):
    octets: bytes


class Pass(Struct, frozen=True):
    """Time passes."""

    seconds: float


class StopReading(Struct, frozen=True):
    pass


class ReadOn(Struct, frozen=True):
    pass


class Leave(Struct, frozen=True):
    """The client ends the connection."""


class StopServer(Struct, frozen=True):
    pass


Step = Send | Pass | StopReading | ReadOn | Leave | StopServer

_ADDRESSES = (
    b"<a@example.com>", b"<>", b"<Postmaster>", b"<postmaster@example.com>", b'<"a b\\"c"@example.com>',
    b"<@x.example,@y.example:a@example.com>", b"<a@xn--bcher-kva.example>", "<a@bücher.example>".encode(),
    "<ü@example.com>".encode(), b"<a@[192.0.2.1]>", b"<a@[IPv6:2001:db8::1]>", b"a@example.com", b"<a>", b"<a@>",
    b"<" + b"a" * 300 + b"@example.com>", b"<refused@example.com>", b"<later@example.com>", b"<slow@example.com>",
)  # fmt: skip
_OF_MAIL = (
    b"SIZE=100", b"SIZE=99999999", b"SIZE=x", b"BODY=8BITMIME", b"BODY=7BIT", b"BODY=BINARYMIME", b"SMTPUTF8",
    b"AUTH=<>", b"AUTH=a+40example.com", b"RET=FULL", b"RET=HDRS", b"RET=x", b"ENVID=a+2Bb", b"ENVID=a+2", b"X=1", b"=",
)  # fmt: skip
_OF_RCPT = (
    b"NOTIFY=NEVER", b"NOTIFY=SUCCESS,DELAY", b"NOTIFY=NEVER,DELAY", b"ORCPT=rfc822;a+2Bb@example.com", b"ORCPT=x",
    b"ORCPT=utf-8;a\\x{FC}@example.com", b"X=1",
)  # fmt: skip
_CONTENT = (
    b"Subject: x\r\n", b"\r\n", b"text\r\n", b".\r\n", b"..\r\n", b".x\r\n", b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n",
    b"\0", b"\xff\xfe", "ü\r\n".encode(), b"x" * 998 + b"\r\n", b"x" * 3000, b"MAIL FROM:<a@example.com>\r\n",
)  # fmt: skip
_PIECES = (
    b"\r\n", b"\n", b"\r", b"\0", b".", b"\r\n.\r\n", b" ", b"<", b">", b":", b"=", b"\xff", b"\xc3", b"\x80", b"+",
    b"x" * 400, b"\t", b'"', b"\\",
)  # fmt: skip
_OTHERS = (
    b"RSET", b"NOOP", b"NOOP x", b"VRFY a", b"EXPN a", b"HELP", b"HELP MAIL", b"QUIT", b"", b" ", b"GET / HTTP/1.1",
    b"POST / HTTP/1.1", b"XCLIENT ADDR=192.0.2.1", b"BDAT", b"BDAT x", b"BDAT 99999999999999999999", b"DATA x", b"DATA",
    b"STARTTLS x", b"*", b"HELO", b"TURN", b"x" * 5000, "ÄHLO x".encode(), b"\x16\x03\x01\x02\x00\x01\x00",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25",
)  # fmt: skip


_EHLO, _STARTTLS = b"EHLO client.example\r\n", b"STARTTLS\r\n"


def _coded(*parts: bytes) -> bytes:
    return b64encode(b"\0".join(parts))


_LOGINS = (
    b"AUTH PLAIN " + _coded(b"", b"apikey", b"secret"), b"AUTH PLAIN " + _coded(b"", b"apikey", b"guess"),
    b"AUTH PLAIN\r\n" + _coded(b"", b"apikey", b"secret"), b"AUTH PLAIN =", b"AUTH PLAIN\r\n*", b"AUTH PLAIN %",
    b"AUTH LOGIN\r\n" + _coded(b"apikey") + b"\r\n" + _coded(b"secret"), b"AUTH LOGIN =\r\n=", b"AUTH CRAM-MD5",
    b"AUTH", b"AUTH LOGIN " + _coded(b"apikey") + b"\r\n" + _coded(b"later"),
    b"AUTH PLAIN " + _coded(b"\xff", b"\xfe", b"x"),
)  # fmt: skip


def stream(random: Random) -> list[Step]:
    """One client's session."""
    parts = _opening(random)
    for _ in range(random.randint(1, 3)):
        parts += _part(random)
    if parts and random.random() < 0.4:
        at = random.randrange(len(parts))
        parts[at] = bytes(_mutated(bytearray(parts[at]), random))
    steps: list[Step] = []
    for octets in _flights(parts, random):
        for piece in _cut(octets, random):
            steps.append(Send(piece))
            if random.random() < 0.1:
                steps.append(_event(random))
    if random.random() < 0.5:
        steps.append(Leave())
    return steps


def _opening(random: Random) -> list[bytes]:
    parts = [random.choice((_EHLO, _EHLO, b"HELO x\r\n", b"ehlo [192.0.2.1]\r\n"))]
    if random.random() < 0.6:
        parts += [_STARTTLS, _EHLO]
    if random.random() < 0.6:
        parts.append(random.choice((_LOGINS[0], _LOGINS[0], *_LOGINS)) + b"\r\n")
    return parts if random.random() < 0.9 else []


def _part(random: Random) -> list[bytes]:
    kind = random.random()
    if kind < 0.2:
        return [random.choice(_OTHERS) + b"\r\n"]
    if kind < 0.3:
        return _opening(random)
    parts = [b"MAIL FROM:" + _path(random, _OF_MAIL)]
    parts += [b"RCPT TO:" + _path(random, _OF_RCPT) for _ in range(random.choice((0, 1, 1, 1, 2, 8)))]
    texts = _CONTENT if random.random() < 0.5 else _CONTENT[:6]
    content = b"".join(random.choice(texts) for _ in range(random.randint(0, 6)))
    if random.random() < 0.3:
        for _ in range(random.randint(1, 3)):
            parts.append(b"BDAT %d%s\r\n" % (len(content), random.choice((b"", b" LAST", b" last"))) + content)
    else:
        parts += [b"DATA\r\n", content, b"\r\n.\r\n"]
    return parts


def _flights(parts: list[bytes], random: Random) -> list[bytes]:
    """Parts that are sent together. What is pipelined behind STARTTLS is dropped, so most clients do not."""
    flights = [bytearray()]
    for part in parts:
        flights[-1] += part
        if random.random() < (0.9 if part == _STARTTLS else 0.2):
            flights.append(bytearray())
    return [bytes(flight) for flight in flights]


def _path(random: Random, parameters: tuple[bytes, ...]) -> bytes:
    usual = random.random() < 0.6
    path = _ADDRESSES[0] if usual else random.choice(_ADDRESSES)
    if not usual:
        path += b"".join(b" " + random.choice(parameters) for _ in range(random.randint(0, 3)))
    return path + b"\r\n"


def _mutated(octets: bytearray, random: Random) -> bytearray:
    for _ in range(random.randint(1, 5)):
        at = random.randrange(len(octets) + 1)
        length = random.choice((0, 1, 1, 2, 8, 40))
        match random.randrange(4):
            case 0:
                octets[at : at + length] = b""
            case 1:
                octets[at:at] = random.choice(_PIECES)
            case 2:
                octets[at : at + length] = random.randbytes(length)
            case 3:
                octets[at:at] = octets[at : at + length] * random.choice((1, 2, 30))
    return octets


def _cut(octets: bytes, random: Random) -> list[bytes]:
    longest = random.choice((1, 3, 20, 200, 10_000, 10_000))
    if longest < 10:
        octets = octets[:300]
    pieces, at = [], 0
    while at < len(octets):
        length = random.randint(1, longest)
        pieces.append(octets[at : at + length])
        at += length
    return pieces


def _event(random: Random) -> Step:
    kind = random.random()
    if kind < 0.6:
        return Pass(random.choice((0.0, 0.0, 1.0, 40.0, 301.0)))
    if kind < 0.75:
        return StopReading()
    if kind < 0.95:
        return ReadOn()
    return Leave() if kind < 0.98 else StopServer()
