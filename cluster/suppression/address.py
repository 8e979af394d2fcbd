"""How addresses compare on suppression lists: the local part in lower case, the domain in lower case A-labels. Pure.

RFC 5321 §2.4 makes local parts case-sensitive; no mailbox provider of note does, and someone who unsubscribed as
Ada@example.com does not want mail as ada@example.com.
"""

from cluster.policy.routes.domains import spelled


def compared(email: str) -> str:
    """The address in the form in which it is stored and looked up."""
    if email.isascii() and email.islower():
        return email
    local_part, at, domain = spelled(email).rpartition("@")
    return f"{local_part.lower()}{at}{domain}"


def unusual(email: str) -> str | None:
    """``compared``, where the journal's function ``address_of`` does not give it: the local part is not ASCII."""
    return None if email.isascii() or email[: email.rfind("@")].isascii() else compared(email)
