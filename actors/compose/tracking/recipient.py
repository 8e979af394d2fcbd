"""The tokens of a copy's recipient, made once for all places and header fields of the copy."""

from msgspec import Struct

from actors.compose.transform import Addressee
from cluster.message.return_address import Named, Purpose, return_address
from cluster.tracking.tokens import Recipient, RecipientTokens, TokenKey


class _Kept(Struct):
    """The tokens of a recipient."""

    addressee: Addressee
    tokens: RecipientTokens
    shared: list[str]
    """Those with the suffixes that all recipients have, as far as they were needed."""


class TokensOfRecipients:
    """Makes the tokens of one request's recipients. Copies are composed one after the other, so the last one's are
    kept."""

    __slots__ = ("_key", "_last", "_shared", "_tenant_number")

    def __init__(self, key: TokenKey, tenant_number: int) -> None:
        self._key = key
        self._tenant_number = tenant_number
        self._last: _Kept | None = None
        self._shared: dict[bytes, int] = {}
        """The suffixes that all recipients have, numbered."""

    def share(self, suffix: bytes) -> int:
        """The number of a suffix in ``shared``, for a place that has it in each copy. The same one in several places is
        made once."""
        return self._shared.setdefault(suffix, len(self._shared))

    def shared(self, addressee: Addressee) -> list[str]:
        """This recipient's tokens with the suffixes of ``share``, by their numbers."""
        kept = self._kept(addressee)
        made = kept.shared
        if len(made) < len(self._shared):
            begun = kept.tokens.text
            made += [begun + end for end in kept.tokens.ends(list(self._shared)[len(made) :])]
        return made

    def of(self, addressee: Addressee) -> RecipientTokens:
        """The tokens of this recipient."""
        return self._kept(addressee).tokens

    def _kept(self, addressee: Addressee) -> _Kept:
        last = self._last  # read once: a large message is composed in a thread
        if last is not None and last.addressee is addressee:
            return last
        recipient = Recipient(
            tenant_number=self._tenant_number,
            message_id=addressee.message_id,
            recipient_no=addressee.recipient_no,
            email=addressee.email,
        )
        last = self._last = _Kept(addressee, RecipientTokens(self._key, recipient), [])
        return last

    def mailbox(self, addressee: Addressee) -> str:
        """The address to which a mail unsubscribes this recipient, at the addressee's ``mail_host``."""
        named = Named(
            purpose=Purpose.UNSUBSCRIBING,
            tenant_number=self._tenant_number,
            message_id=addressee.message_id,
            recipient_no=addressee.recipient_no,
        )
        return return_address(self._key, named, addressee.mail_host)
