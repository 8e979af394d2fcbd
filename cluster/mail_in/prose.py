"""Reports on delivery in prose: who is meant, and what the host said.

flufl.bounce knows the formats of many programs, and tells whom they mean. It does not tell what hosts replied, and
knows few languages, so replies and the remaining formats are read here.
"""

import re
from email.message import Message

from flufl.bounce import all_failures
from msgspec import Struct

from cluster.mail_in.addresses import LONGEST, addresses_in, bare
from cluster.mail_in.parts import Part
from cluster.mail_in.phrases import EXAMINED_CHARS, Meaning, Place, reason_in, said, without_returned
from cluster.mail_in.replies import Reply, reply_in_prose
from cluster.mail_in.report import LONGEST_DIAGNOSTIC, MOST_RECIPIENTS, Action, RecipientReport

LIBRARY_CHARS = 12_288
LIBRARY_LINE_CHARS = 240
"""The library's patterns take quadratic time in the length of a line."""
_SYSTEMS = frozenset(
    ("mailer-daemon", "mailerdaemon", "mail-daemon", "maildaemon", "mdaemon", "mmdf", "postmaster", "postoffice")
)
_SYSTEM_NAMES = ("mail delivery", "mailer-daemon", "mailer daemon", "postmaster", "mail administrator")
_ANSWER = re.compile(r"\s*(?:re|aw|sv|antw|odp|rif|ynt)\s*:", re.IGNORECASE)
"""How subjects of people's answers begin."""
_EXCHANGE = "microsoftexchange"
"""Its reports come from this word with a number."""


class Found(Struct, frozen=True):
    recipients: tuple[RecipientReport, ...]
    why: tuple[str, ...]


def text_of(whole: Part) -> str:
    """The report's own text: of what it returns nothing, of alternatives the plain one."""
    texts = [part.text for part in _own(whole) if part.media_type == "text/plain"]
    if not any(text.strip() for text in texts):
        texts = [part.text for part in _own(whole) if part.media_type == "text/html"]
    return without_returned("\n\n".join(texts)[:EXAMINED_CHARS])


def is_from_a_mail_system(whole: Part) -> bool:
    """Whether the author is a mail system by name, not a person."""
    author = whole.field("from").lower()
    local_part = bare(author).partition("@")[0]
    return (
        local_part in _SYSTEMS
        or local_part.startswith(_EXCHANGE)
        or any(name in author for name in _SYSTEM_NAMES)
        or bool(whole.field("x-failed-recipients"))
    )


def read_prose(whole: Part) -> Found | None:
    """The recipients that a report in prose is about; None when the mail is no such report. A report that gives no
    recipient has one without an address."""
    text, subject = text_of(whole), whole.field("subject")
    is_system = is_from_a_mail_system(whole)
    if not is_system and _ANSWER.match(subject):
        return None
    # People say that something was not delivered, too, but they quote no reply.
    is_technical = is_system or reply_in_prose(text) is not None
    action, why = _action_in(subject, text if is_technical else "")
    if action is None and not is_system:
        return None
    failed, delayed, by = _addresses(whole, text, is_system)
    if action is None:
        action, reason = _action_of_system(failed, delayed, text)
        if action is None:
            return None
        why = (reason,)
    addresses = (failed or delayed)[:MOST_RECIPIENTS]
    recipients = tuple(_recipient(address, text, action, addresses) for address in addresses or [""])
    named = (
        f"{by}: {', '.join(addresses[:5])}." if addresses else "It names no recipient, so the message must have one."
    )
    return Found(recipients, (*why, named, *_reply_why(recipients)))


def reply_about(address: str, text: str, others: list[str]) -> Reply:
    """What the text says about an address: the reply after it, else the first of the text; else the words around it."""
    after = _about(address, text, others)
    reply = reply_in_prose(after) or (reply_in_prose(text) if len(others) < 2 else None)
    if reply is not None and reply.code:
        return reply
    words = reply.text if reply is not None else " ".join(after[:LONGEST_DIAGNOSTIC].partition("\n\n")[0].split())
    return Reply(status=reply.status if reply is not None else "", text=_without(address, words))


def _without(address: str, words: str) -> str:
    """The words without the address that they begin with."""
    words = words.lstrip(" <\"'")
    if address and words.lower().startswith(address.lower()):
        words = words[len(address) :]
    return words.lstrip(" <>:;,\"')-")


def _own(whole: Part) -> list[Part]:
    if not whole.media_type.startswith("multipart/"):
        return [whole] if whole.media_type.startswith("text/") and "headers" not in whole.media_type else []
    if not whole.children:  # its boundary is lost
        return [Part(Message(), whole.body)]
    return [part for child in whole.children for part in _own(child)]


def _action_in(subject: str, text: str) -> tuple[Action | None, tuple[str, ...]]:
    """What the words say. A report that a message is late often says when it would fail, so that is looked at first."""
    for meaning, action in ((Meaning.DELAYED, Action.DELAYED), (Meaning.FAILED, Action.FAILED)):
        for place, where in ((Place.SUBJECT, subject), (Place.TEXT, text)):
            if (found := said(where, place, meaning)) is not None:
                return action, (f'The {place} says "{found.phrase}" (rule {found.rule.name}): {action}.',)
    return None, ()


def _action_of_system(failed: list[str], delayed: list[str], text: str) -> tuple[Action | None, str]:
    if failed:
        return Action.FAILED, "A mail system reports these addresses as failed."
    if delayed:
        return Action.DELAYED, "A mail system reports these addresses as delayed."
    reply = reply_in_prose(text)
    if reply is not None and 500 <= reply.code < 600:
        return Action.FAILED, f"A mail system reports the reply {reply.code}: failed."
    return None, ""


def _addresses(whole: Part, text: str, is_system: bool) -> tuple[list[str], list[str], str]:
    """Failed and delayed addresses, and how they were found."""
    header = [bare(value) for field in whole.fields("x-failed-recipients") for value in field.split(",")]
    if listed := _usable(header, whole):
        return listed, [], "X-Failed-Recipients names"
    if is_system:
        delayed, failed = _asked(whole, text)
        if failed or delayed:
            return _usable(failed, whole), _usable(delayed, whole), "flufl.bounce tells"
    alone = [bare(line) for line in text.split("\n") if "@" in line and " " not in line.strip().rstrip(":")]
    if listed := _usable([address for line in alone for _, address in addresses_in(line)], whole):
        return listed, [], "Lines of their own name"
    named = _usable([address for _, address in addresses_in(text)], whole)
    return named[:1], [], "The text names first"


def _asked(whole: Part, text: str) -> tuple[list[str], list[str]]:
    """What flufl.bounce tells: temporary and permanent failures."""
    try:
        temporary, permanent = all_failures(_for_library(whole, text))
    except (ValueError, TypeError, LookupError, AttributeError):  # it was written for mail, not for attacks
        return [], []
    return [address.decode("utf-8", "replace") for address in sorted(temporary)], [
        address.decode("utf-8", "replace") for address in sorted(permanent)
    ]


def _for_library(whole: Part, text: str) -> Message:
    """The report as the library expects it, with its own text decoded and short, and without what it returns."""
    lines = text[:LIBRARY_CHARS].split("\n")
    body = "\n".join(line[:LIBRARY_LINE_CHARS] for line in lines).encode("ascii", "replace").decode()
    message: Message = Message()
    for name in ("from", "x-mailer", "x-failed-recipients"):
        if value := whole.field(name):
            message[name] = value
    if not whole.children:
        message["content-type"] = "text/plain"
        message.set_payload(body)
        return message
    message["content-type"] = whole.media_type
    description = whole.children[0].field("content-description")
    for payload in (body, ""):
        part: Message = Message()
        part["content-type"] = "text/plain"
        if description and payload:
            part["content-description"] = description
        part.set_payload(payload)
        message.attach(part)
    return message


def _usable(addresses: list[str], whole: Part) -> list[str]:
    """The addresses that may be recipients: not the report's author or addressee, nor a mail system."""
    parties = {bare(whole.field(name)).lower() for name in ("from", "to", "sender", "reply-to", "return-path")}
    found: dict[str, str] = {}
    for address in addresses:
        local_part, at, domain = address.lower().rpartition("@")
        is_one = at and local_part and domain and len(address) <= LONGEST and local_part not in _SYSTEMS
        if is_one and not local_part.startswith(("b+", _EXCHANGE, "msg_")) and address.lower() not in parties:
            found.setdefault(address.lower(), address)
    return list(found.values())


def _recipient(address: str, text: str, action: Action, others: list[str]) -> RecipientReport:
    reply = reply_about(address, text, others)
    status = reply.status
    if not status and not reply.code:
        status = reason_in(reply.text) or (reason_in(text) if len(others) < 2 else "")
    return RecipientReport(action=action, final_recipient=address, status=status, diagnostic=reply.text)


def _about(address: str, text: str, others: list[str]) -> str:
    """The text from an address to the next recipient."""
    begin = _position(address, text, 0) if address else -1
    if begin < 0:
        return text
    ends = (_position(other, text, begin + len(address)) for other in others[:20] if other and other != address)
    return text[begin : min((end for end in ends if end > 0), default=len(text))]


def _position(address: str, text: str, begin: int) -> int:
    found = re.compile(re.escape(address), re.IGNORECASE).search(text, begin)  # the lower case may have another length
    return found.start() if found else -1


def _reply_why(recipients: tuple[RecipientReport, ...]) -> tuple[str, ...]:
    first = recipients[0]
    if not first.diagnostic:
        return ("It gives no reason.",)
    return (f'The reason is "{first.diagnostic.splitlines()[0][:200]}".',)
