"""The tokens of a copy's recipient, made once for all places and header fields of the copy."""

from actors.compose.transform import Addressee
from cluster.message.return_address import Named, Purpose, return_address
from cluster.tracking.tokens import Recipient, RecipientTokens, TokenKey


class TokensOfRecipients:
    """Makes the tokens of one request's recipients. Copies are composed one after the other, so the last one's are
    kept."""

    __slots__ = ("_key", "_last", "_tenant_number")

    def __init__(self, key: TokenKey, tenant_number: int) -> None:
        self._key = key
        self._tenant_number = tenant_number
        self._last: tuple[Addressee, RecipientTokens] | None = None

    def of(self, addressee: Addressee) -> RecipientTokens:
        """The tokens of this recipient."""
        last = self._last  # read once: a large message is composed in a thread
        if last is not None and last[0] is addressee:
            return last[1]
        recipient = Recipient(
            tenant_number=self._tenant_number,
            message_id=addressee.message_id,
            recipient_no=addressee.recipient_no,
            email=addressee.email,
        )
        tokens = RecipientTokens(self._key, recipient)
        self._last = (addressee, tokens)
        return tokens

    def mailbox(self, addressee: Addressee) -> str:
        """The address to which a mail unsubscribes this recipient, at the addressee's ``mail_host``."""
        named = Named(
            purpose=Purpose.UNSUBSCRIBING,
            tenant_number=self._tenant_number,
            message_id=addressee.message_id,
            recipient_no=addressee.recipient_no,
        )
        return return_address(self._key, named, addressee.mail_host)
