"""The replies to a transaction, and the reply that decides each recipient.

These are plain values: ``client`` sends the commands, and ``cluster.policy.replies`` judges the replies.
"""

from collections.abc import Sequence

from msgspec import Struct

from actors.smtp.commands import Envelope, Unsendable
from actors.smtp.reply import Reply
from cluster.policy.replies.stage import Stage


class RcptReply(Struct, frozen=True):
    """The reply that decides one recipient: the first refusal, or else the final reply."""

    recipient: str
    stage: Stage
    """The stage of the reply: MAIL, RCPT, DATA or END_OF_DATA."""
    reply: Reply


class TransactionResult(Struct, frozen=True, kw_only=True):
    mail: Reply | None
    """The reply to MAIL; None only when the message is unsendable."""
    recipients: tuple[Reply, ...]
    """The replies to each RCPT, in order; empty when MAIL was refused, since then they do not count."""
    final: Reply | None
    """The reply to the message, or to DATA when that was refused; None when no recipient was accepted."""
    final_stage: Stage
    """END_OF_DATA, or DATA when the final reply is a refusal of DATA."""
    unsendable: Unsendable | None
    duration: float
    """Seconds from writing MAIL to the last reply."""

    @property
    def is_taken_for_all(self) -> bool:
        """Whether the message was accepted for every recipient."""
        return (
            self.final is not None
            and self.final.positive
            and self.final_stage is Stage.END_OF_DATA
            and all(reply.positive for reply in self.recipients)
        )

    @property
    def accepted(self) -> int:
        """Number of recipients for which the message was accepted."""
        if self.final is None or not self.final.positive or self.final_stage is not Stage.END_OF_DATA:
            return 0
        return sum(reply.positive for reply in self.recipients)

    def outcomes(self, envelope: Envelope) -> tuple[RcptReply, ...]:
        """The deciding reply for each recipient of the envelope, in order; empty when the message is unsendable."""
        if self.mail is None:
            return ()
        if not self.mail.positive:
            return tuple(RcptReply(recipient, Stage.MAIL, self.mail) for recipient in envelope.recipients)
        return tuple(
            RcptReply(recipient, self.final_stage, self.final)
            if reply.positive and self.final is not None
            else RcptReply(recipient, Stage.RCPT, reply)
            for recipient, reply in zip(envelope.recipients, self.recipients, strict=True)
        )


class Replies(Struct):
    """The replies to a transaction so far."""

    mail: Reply | None = None
    recipients: tuple[Reply, ...] = ()
    final: Reply | None = None
    final_stage: Stage = Stage.END_OF_DATA

    @property
    def accepted(self) -> bool:
        """Whether at least one recipient was accepted."""
        return self.mail is not None and self.mail.positive and any(reply.positive for reply in self.recipients)

    def is_refused(self, recipient_count: int) -> bool:
        """Whether no recipient can be accepted any more: the sender, or every recipient, was refused."""
        if self.mail is None:
            return False
        return not self.mail.positive or (len(self.recipients) == recipient_count and not self.accepted)

    @property
    def is_out_of_step(self) -> bool:
        """Whether a command got an unexpected 3yz, so that it is unknown what the peer expects (RFC 5321 §4.2.1)."""
        if self.mail is None or (self.final is not None and self.final.intermediate):
            return True
        return self.mail.intermediate or any(reply.intermediate for reply in self.recipients)

    def take(self, received: Sequence[Reply], command_count: int, *, reset_sent: bool) -> Reply | None:
        """Take the replies of a flight, complete or not: [RSET,] MAIL, RCPT…, and a last command, whose reply is
        returned (None if it is missing)."""
        answers = received[1:] if reset_sent else received
        if not answers:
            return None
        last = answers[command_count] if len(answers) > command_count else None
        if reset_sent and not received[0].positive and not answers[0].positive:
            return last  # MAIL was refused because the old transaction is still open, not because of this message
        self.mail = answers[0]
        if self.mail.positive:
            self.recipients = tuple(answers[1:command_count])
        return last

    def forget(self) -> None:
        """Clear the replies, for a transaction that is started again."""
        self.mail, self.recipients, self.final, self.final_stage = None, (), None, Stage.END_OF_DATA

    def result(self, duration: float) -> TransactionResult:
        return TransactionResult(
            mail=self.mail,
            recipients=self.recipients,
            final=self.final,
            final_stage=self.final_stage,
            unsendable=None,
            duration=duration,
        )


def unsent(cause: Unsendable) -> TransactionResult:
    """The result for an unsendable message."""
    return TransactionResult(
        mail=None, recipients=(), final=None, final_stage=Stage.END_OF_DATA, unsendable=cause, duration=0.0
    )
