"""The keys of tracked mail's tokens, and tokens of them."""

from cluster.journal.journal import Journal
from cluster.tracking.keys import TokenKeys
from cluster.tracking.tokens import (
    Preferences,
    Recipient,
    RecipientTokens,
    Target,
    TokenKey,
    click_suffix,
    open_suffix,
    unsubscribe_suffix,
)
from cluster.vault import Vault
from tests.domains import SECRET

ALL_MAIL = Preferences()


A_KEY = TokenKey(1, bytes(range(32)))
"""A key for what is not read again."""


def token_keys(journal: Journal) -> TokenKeys:
    """Keys that are not loaded yet."""
    return TokenKeys(journal, Vault(SECRET))


def open_token(keys: TokenKeys, recipient: Recipient) -> str:
    return RecipientTokens(keys.newest, recipient).token(open_suffix())


def click_token(keys: TokenKeys, recipient: Recipient, url: str, link_index: int = 0) -> str:
    return RecipientTokens(keys.newest, recipient).token(click_suffix(Target(url, link_index)))


def unsubscribe_token(keys: TokenKeys, recipient: Recipient, preferences: Preferences = ALL_MAIL) -> str:
    return RecipientTokens(keys.newest, recipient).token(unsubscribe_suffix(preferences))
