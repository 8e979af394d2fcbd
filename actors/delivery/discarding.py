"""The connection of a route that discards mail: it accepts every message and sends nothing."""

import asyncio

from actors.smtp.commands import Envelope
from actors.smtp.protocol import Observe
from actors.smtp.reply import make_reply
from actors.smtp.share import Share
from actors.smtp.transaction import TransactionResult
from cluster.policy.replies.stage import Stage

_TAKEN = make_reply(250, ["250 2.0.0 discarded, as its route says"])


class DiscardConnection:
    """A pool's connection without a host."""

    def __init__(self) -> None:
        self.host = self.address = self.source_address = self.source = ""
        self.tls_version = self.tls_cipher = ""
        self.transactions = 0
        self.share = Share()
        self.alternatives = 0
        self.opened_at = asyncio.get_running_loop().time()
        self.observe: Observe | None = None
        self.is_usable = self.has_all_data = True

    async def send(self, envelope: Envelope, data: bytes) -> TransactionResult:
        self.transactions += 1
        return TransactionResult(
            mail=_TAKEN,
            recipients=(_TAKEN,) * len(envelope.recipients),
            final=_TAKEN,
            final_stage=Stage.END_OF_DATA,
            unsendable=None,
            duration=0.0,
        )

    async def quit(self) -> None:
        self.is_usable = False

    def abort(self) -> None:
        self.is_usable = False
