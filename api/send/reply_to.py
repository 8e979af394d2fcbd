"""Checks that reply_to still has valid addresses after substitution. Pure."""

from collections.abc import Mapping

from api.http.refusals import Fault
from api.send.request import MailSend
from cluster.journal.records import Address
from cluster.message.addresses import is_address
from cluster.message.header_fields import NotComposable, addresses, filled_addresses
from cluster.message.substitution import keys_of

LONGEST_FILLED = 10_000
"""The limit in octets for the addresses and names of one message's reply_to, if it has substitutions."""
_MOST_FILLED = 20_000
"""The most addresses that are substituted to check one request. They take some tenths of a second."""


def reply_to_text(mail: MailSend) -> str:
    """The texts of reply_to that are searched for keys; "" when there is none."""
    if (one := mail.reply_to) is not None:
        return f"{one.email}\0{one.name}"
    return "\0".join([f"{one.email}\0{one.name}" for one in mail.reply_to_list or ()])


class ReplyTo:
    """Substitutes values in the reply_to of a request and checks the result."""

    __slots__ = ("_filled", "_mailboxes")

    def __init__(self, mail: MailSend) -> None:
        boxes = [mail.reply_to] if mail.reply_to is not None else mail.reply_to_list or ()
        self._mailboxes = [Address(box.email or "", box.name) for box in boxes]
        self._filled = 0

    def check(self, substitutions: Mapping[str, str], where: str, faults: list[Fault]) -> None:
        """Add the fault of substitutions whose keys are in reply_to, if they break it. ``where`` is their path."""
        self._filled += len(self._mailboxes)
        if self._filled > _MOST_FILLED:
            faults.append(Fault("Substitutions in too many addresses of reply_to_list", where))
            return
        try:
            filled = filled_addresses(self._mailboxes, keys_of(substitutions), substitutions, LONGEST_FILLED)
            addresses("Reply-To", filled)
        except NotComposable as fault:
            faults.append(Fault(f"They break reply_to: {fault.reason}", where))
            return
        if not all(is_address(one.email) for one in filled):
            faults.append(Fault("They break reply_to: what they make is not a valid email address", where))
