"""Estimates in advance how long the check of a request takes beyond the time that its size implies. Pure.

A small body can need much work: a hundred personalizations with different keys that are searched in the same text, or a
thousand domains in U-labels that are converted to A-labels. Work that is too long for the event loop goes to the worker
process, and excessive work is refused.
"""

from msgspec import Struct

from api.send.reply_to import reply_to_text
from api.send.request import MailSend
from cluster.message.substitution import effort_s, is_slow

MOST_S = 5.0
"""The limit for preparing the keys of a request, and for finding them in its texts. Ordinary requests have one set of
keys, or a few."""
TOO_MANY_KEYS = "Too many different sets of long keys"
_SPELLING_S = 3e-4
"""Seconds to convert a domain in U-labels (IDNA 2008)."""
_SHORT_SUBJECT = 1000
"""In characters. Searching a subject of this length for short keys takes negligible time."""


class Effort(Struct, frozen=True):
    """Approximate upper bounds in seconds."""

    keys_s: float
    """To prepare keys, and to find them in the subjects of personalizations."""
    texts_s: float
    """To find keys in the texts that the messages share."""
    spelling_s: float = 0.0
    """To convert domains to A-labels."""

    @property
    def seconds(self) -> float:
        return self.keys_s + self.texts_s + self.spelling_s


NO_EFFORT = Effort(0.0, 0.0)


def effort_of(mail: MailSend, *, plain: bool = False) -> Effort:
    """The effort of a request. A set of keys counts once, however many personalizations share it. ``plain`` means that
    the whole request is ASCII."""
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
