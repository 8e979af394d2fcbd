"""How long it takes to check a request, as far as its bytes do not tell; told before it is done. Pure.

Few bytes can ask for much: a hundred personalizations with keys of their own each, looked for in the same text; or a
thousand domains in U-labels, to be spelled in A-labels.
What an event loop cannot wait for is left to the worker process, and what nothing should wait for is refused.
"""

from msgspec import Struct

from api.send.reply_to import reply_to_text
from api.send.request import MailSend
from cluster.message.substitution import effort_s, is_slow

MOST_S = 5.0
"""Of making the keys of a request ready, or of finding them in its texts. Requests that are written by hand, or made
by a program for people, have one set of keys, or a few."""
TOO_MANY_KEYS = "Too many different sets of long keys"
_SPELLING_S = 3e-4
"""For a domain in U-labels (IDNA 2008)."""
_SHORT_SUBJECT = 1000
"""Characters; to look for short keys in it takes no time."""


class Effort(Struct, frozen=True):
    """Seconds at most, about."""

    keys_s: float
    """Of making keys ready, and of finding them in what each personalization has of its own."""
    texts_s: float
    """Of finding them in what the messages share."""
    spelling_s: float = 0.0
    """Of spelling domains."""

    @property
    def seconds(self) -> float:
        return self.keys_s + self.texts_s + self.spelling_s


NO_EFFORT = Effort(0.0, 0.0)


def effort_of(mail: MailSend, *, plain: bool = False) -> Effort:
    """What a request asks for. A set of keys counts once, however many personalizations share it. ``plain``: all of it
    is ASCII."""
    keys_s = texts_s = 0.0
    last: tuple[str, ...] = ()
    known: set[tuple[str, ...]] = set()
    slow = False
    shared = -1
    for one in mail.personalizations or ():
        if not one.substitutions:
            continue
        if shared < 0:
            shared = sum([len(part.value or "") for part in mail.content or ()]) + len(reply_to_text(mail))
        own = len(one.subject or mail.subject or "")
        names = tuple(one.substitutions)
        if names != last:
            last, slow = names, is_slow(names)
            if names not in known:
                known.add(names)
                ready_s = effort_s(names, 0)
                keys_s += ready_s
                texts_s += effort_s(names, shared) - ready_s
        if slow or own > _SHORT_SUBJECT:
            keys_s += effort_s(names, own)
    spelling_s = 0.0 if plain else _SPELLING_S * _spelled(mail)
    return Effort(keys_s, texts_s, spelling_s) if last or spelling_s else NO_EFFORT


def _spelled(mail: MailSend) -> int:
    """How many addresses may have a domain in U-labels."""
    lists = [mail.reply_to_list]
    for person in mail.personalizations or ():
        lists += (person.to, person.cc, person.bcc)
    return sum([1 for some in lists if some for one in some if one.email and not one.email.isascii()])
