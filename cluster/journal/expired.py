"""What stands for the bodies of a message once they have gone: what its columns still tell, in the form of bodies, so
that readers need not know the difference."""

from collections.abc import Sequence

from cluster.journal.records import Address, Content, PreparedPersonalization, encode


def stand_in(
    *,
    from_email: str,
    to_emails: Sequence[str],
    subject: str,
    categories: Sequence[str] = (),
    template_id: str | None = None,
    group_id: int | None = None,
) -> tuple[bytes, bytes]:
    """A content and a personalization, encoded. All recipients are in To: once bodies have gone, it is not known who
    was in Cc or Bcc."""
    content = Content(
        from_=Address(from_email),
        categories=tuple(categories),
        template_id=template_id,
        asm=None if group_id is None else {"group_id": group_id},
    )
    own = PreparedPersonalization(to=tuple(Address(email) for email in to_emails), subject=subject)
    return encode(content), encode(own)
