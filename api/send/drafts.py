"""A request to send before it is checked, in whatever dialect a client wrote it. Pure, but for ``settle``.

A dialect is a way to ask for mail: the shape of its body, and rules of its own. What it reads is a ``Draft`` around a
``MailSend``, so that check, conversion and commit are the same for all dialects.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from msgspec import Struct, field

from api.http.access import Access
from api.http.refusals import Fault
from api.send.notes import Notes
from api.send.request import MailSend
from cluster.journal.journal import Journal
from cluster.journal.records import ApiKey
from cluster.journal.templates import ActiveTemplate
from cluster.message.dsn import Dsn

Settle = Callable[[MailSend, Journal, ApiKey, ActiveTemplate | None, datetime], Awaitable[list[Fault]]]
"""Does what a dialect must look up: it may complete the mail, and returns faults. It gets the template that the mail
names, as it is now, and the time. Raises Unavailable."""


def same_path(path: str) -> str:
    """The name of a field in a dialect whose body is a ``MailSend``."""
    return path


class Draft(Struct, kw_only=True, gc=False):
    """A request to send, as its dialect read it."""

    mail: MailSend
    faults: list[Fault] = field(default_factory=list)
    """Those of the dialect's own rules."""
    settle: Settle | None = None
    original: bytes = b""
    """The message as it was submitted (``records.Content.original``), in place of content; empty for none."""
    readdressed: bool = False
    """Whether each message's To names its own recipients."""
    dsn: Dsn | None = None
    """What the envelope of a submitted message said of reports."""
    path_in_body: Callable[[str], str] = same_path
    """From the path of a field of ``mail`` to that of the field in the body from which it comes."""

    def all_faults(self, found: Sequence[Fault]) -> list[Fault]:
        """The draft's own faults and those ``found`` in its mail, with the paths of the body. Of a field with a fault
        of the dialect's own, the others are left out: they would say the same in the words of another dialect."""
        if self.path_in_body is same_path:
            return [*self.faults, *found]
        own = {fault.field for fault in self.faults}
        told = [Fault(one.message, one.field and self.path_in_body(one.field), one.help) for one in found]
        return [*self.faults, *(fault for fault in told if fault.field is None or fault.field not in own)]


class Dialect(Struct, frozen=True, kw_only=True):
    """A way to ask for mail. The worker of large requests gets it pickled, so ``read`` is a function of a module that
    does not load the web framework."""

    access: Access
    """What its route requires."""
    read: Callable[[bytes, Notes], Draft]
    """From an inflated body to a draft; fields that no request has are added to the notes. Raises Unparseable, and
    Invalid for text that cannot be stored."""
