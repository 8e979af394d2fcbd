"""What a transaction has been told, and what that comes to for each recipient.

Values alone: ``smtp`` talks, and policy judges.
"""

from collections.abc import Sequence

from msgspec import Struct

from actors.smtp.commands import Envelope, Unsendable
from actors.smtp.reply import Reply
from cluster.policy.replies.stage import Stage


class RcptReply(Struct, frozen=True):
    """The reply that decides one recipient: the first refusal on its way, or else the final reply."""

    recipient: str
    stage: Stage
    """What the reply answers: MAIL, RCPT, DATA or END_OF_DATA."""
    reply: Reply


class TransactionResult(Struct, frozen=True, kw_only=True):
    mail: Reply | None
    """To MAIL. None when the message is unsendable, and only then."""
    recipients: tuple[Reply, ...]
    """To each RCPT, in order. Empty when MAIL was refused, since then the recipients were not judged."""
    final: Reply | None
    """To the message (or to DATA, when that was refused); None when no recipient was left to send it to."""
    final_stage: Stage
    """END_OF_DATA, or DATA when the final reply is a refusal of DATA."""
    unsendable: Unsendable | None
    duration: float
    """Seconds from writing MAIL to the last reply."""

    @property
    def is_taken_for_all(self) -> bool:
        """Whether the message was accepted, for every recipient."""
        return (
            self.final is not None
            and self.final.positive
            and self.final_stage is Stage.END_OF_DATA
            and all(reply.positive for reply in self.recipients)
        )

    @property
    def accepted(self) -> int:
        """For how many recipients the message was accepted."""
        if self.final is None or not self.final.positive or self.final_stage is not Stage.END_OF_DATA:
            return 0
        return sum(reply.positive for reply in self.recipients)

    def outcomes(self, envelope: Envelope) -> tuple[RcptReply, ...]:
        """One for each recipient of the envelope, in order; empty when the message is unsendable."""
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
    """What a transaction has been told so far."""

    mail: Reply | None = None
    recipients: tuple[Reply, ...] = ()
    final: Reply | None = None
    final_stage: Stage = Stage.END_OF_DATA

    @property
    def accepted(self) -> bool:
        """Whether there is a recipient to send the message to."""
        return self.mail is not None and self.mail.positive and any(reply.positive for reply in self.recipients)

    def is_refused(self, recipient_count: int) -> bool:
        """Whether there is certainly none: the sender, or every recipient, has been refused."""
        if self.mail is None:
            return False
        return not self.mail.positive or (len(self.recipients) == recipient_count and not self.accepted)

    @property
    def is_out_of_step(self) -> bool:
        """Whether a 3yz answered what asks for none: what the peer waits for now is not known (RFC 5321 §4.2.1)."""
        if self.mail is None or (self.final is not None and self.final.intermediate):
            return True
        return self.mail.intermediate or any(reply.intermediate for reply in self.recipients)

    def take(self, received: Sequence[Reply], command_count: int, *, reset_sent: bool) -> Reply | None:
        """Takes the replies of a flight, complete or not: [RSET,] MAIL, RCPT…, and one command more, whose reply is
        returned."""
        answers = received[1:] if reset_sent else received
        if not answers:
            return None
        last = answers[command_count] if len(answers) > command_count else None
        if reset_sent and not received[0].positive and not answers[0].positive:
            return last  # MAIL was refused because the old transaction is still open: that says nothing about this one
        self.mail = answers[0]
        if self.mail.positive:
            self.recipients = tuple(answers[1:command_count])
        return last

    def forget(self) -> None:
        """For a transaction that is begun once more."""
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
    """The result of a message that was not even tried."""
    return TransactionResult(
        mail=None, recipients=(), final=None, final_stage=Stage.END_OF_DATA, unsendable=cause, duration=0.0
    )
