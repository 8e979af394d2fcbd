"""The MIME form of a message: compiled once per request, filled in per message.

This module owns which header fields and body parts a message has, and their order. What all messages of a request share
is encoded once: attachments, texts without substitutions, the whole body and its hash, shared fields. It does not sign
(dkim.py), use a clock or make identifiers, and never writes Bcc.

The body is multipart/mixed > multipart/related > multipart/alternative, each level only if it is needed. Boundaries are
derived from the content, so messages of a request with equal texts have equal bodies. transfer_encoding.py guarantees
that no part contains a boundary.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Generic, TypeVar

from msgspec import Struct

from actors.compose import dkim, parts
from actors.compose.holed import Filling, Undecided
from actors.compose.parts import Entity, Form, text_form
from actors.compose.render import Rendered, Renderer
from actors.compose.skeleton import Composed, Skeleton, half_pair
from actors.compose.submitted import SubmittedSkeleton
from actors.compose.templated import Version, most_octets
from actors.compose.transform import Addressee, Transform, Transformer
from cluster.journal.records import BodyPart, Content, PreparedPersonalization, encode_stably
from cluster.message import custom_fields
from cluster.message import header_fields as fields
from cluster.message.header_fields import NotComposable
from cluster.message.transfer_encoding import BOUNDARY_MARK
from cluster.settings import DEFAULT_LIMITS, MessageSettings
from cluster.templates.compiled import Filled

_RANKS = {"text/plain": 0, "text/x-amp-html": 2, "text/html": 3, "text/calendar": 4}
"""RFC 2046 §5.1.4: from the plainest to the richest. AMP is before HTML, for clients that show the last they know."""
_OTHER_RANK = 1

_ON_THE_WIRE = 4
"""The most octets on the wire per octet of a text: three in quoted-printable, and the line breaks."""

_Fields = list[tuple[bytes, bytes]]


T = TypeVar("T")


class _Once(Generic[T]):
    """A property that is made on first access. Unlike functools.cached_property of Python 3.11, it has no lock, which
    would make a thread that composes a small message wait for one that composes a large one."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, owner: Any, _kind: type) -> T:
        made = owner.__dict__[self._name] = self._make(owner)
        return made


class MimeSkeleton(Skeleton):
    """A content of texts and files."""

    def __init__(
        self,
        content: Content,
        files: Mapping[bytes, bytes],
        limits: MessageSettings,
        transform: Transform | None,
        version: Version | None,
    ) -> None:
        self._limits = limits
        self._renderer = Renderer(content, limits, version)
        self._content = self._renderer.content
        self._transform = transform
        self._transformer = Transformer(transform, self._renderer) if transform is not None else None
        seed = sha256(encode_stably(content)).hexdigest()[:32]
        self._boundary = f"{BOUNDARY_MARK}{seed}"
        self._shared_texts: list[Entity | None] = [None] * self._renderer.number_of_parts
        self._inline: list[Entity] = []
        self._attached: list[Entity] = []
        for attachment in content.attachments:
            if attachment.sha256 not in files:
                raise NotComposable(f"the file of attachment {attachment.filename!r} is missing")
            entity = parts.shared(parts.file(attachment, files[attachment.sha256], self._boundary))
            (self._inline if attachment.inline else self._attached).append(entity)
        self._files_bytes = sum([len(entity.content) for entity in (*self._inline, *self._attached)])

    def compose(
        self,
        personalization: PreparedPersonalization,
        *,
        message_id: str,
        date: datetime,
        addressee: Addressee | None = None,
        filled: Filled | None = None,
        feedback_id: bytes = b"",
    ) -> Composed:
        try:
            said = self._renderer.render(personalization, filled)
            if self._transformer is not None:
                entity = self._transformed(self._transformer, said.parts, addressee)
            else:
                entity = self._shared if said.parts is self._renderer.shared else self._laid_out(said.parts)
            header, smtputf8 = self._addressing(said, personalization)
            header.insert(0, (b"Date", fields.date(date)))
            custom = _custom(said.headers) if personalization.headers else self._custom
            same_subject = said.subject is self._content.subject
            header += (
                (b"Subject", self._subject if same_subject else fields.subject(said.subject)),
                (b"Message-ID", custom.message_id or fields.message_id(message_id)),
                (b"MIME-Version", b"1.0"),
                (b"Content-Type", entity.type),
                (b"Content-Transfer-Encoding", entity.encoding),
            )
            if self._transform is not None and addressee is not None and not custom.unsubscribes:
                header += self._transform.fields(addressee)
            if feedback_id and not custom.has_feedback_id:
                header.append((b"Feedback-ID", feedback_id))
            header += custom.fields
        except UnicodeEncodeError as error:
            raise half_pair() from error
        downgraded = _downgraded(header, personalization) if smtputf8 else None
        return Composed(tuple(header), entity.content, smtputf8, downgraded, entity.relaxed)

    def fill(self, data: bytes, **bounds: int) -> Filled | None:
        return self._renderer.fill(data, **bounds)

    def growth(
        self, personalization: PreparedPersonalization, values_bytes: int, filled: Filled | None = None
    ) -> int | None:
        if filled is None:
            grown = self._renderer.growth(personalization.substitutions, values_bytes)
        else:
            grown = values_bytes = most_octets(filled)
        if grown is None or self._transformer is None:
            return grown
        more = self._transformer.growth(self._renderer.unfilled(personalization), values_bytes)
        return None if more is None else grown + more

    def body_hash(self, body: bytes, relaxed: bytes | None = None) -> bytes:
        shared: Entity | None = vars(self).get("_shared")  # not made if every message has its own body
        if shared is not None and body is shared.content:
            return self._shared_hash
        return dkim.body_hash(body, relaxed)

    def _addressing(self, said: Rendered, personalization: PreparedPersonalization) -> tuple[_Fields, bool]:
        shared = self._content
        value, smtputf8 = self._from if said.from_ is shared.from_ else fields.addresses("From", (said.from_,))
        header = [(b"From", value)]
        if said.reply_to:
            same = said.reply_to is shared.reply_to
            value, international = self._reply_to if same else fields.addresses("Reply-To", said.reply_to)
            smtputf8 = smtputf8 or international
            header.append((b"Reply-To", value))
        for name, mailboxes in (("To", personalization.to), ("Cc", personalization.cc)):
            if mailboxes:
                try:
                    value, international = fields.addresses(name, mailboxes)
                except (NotComposable, UnicodeEncodeError):
                    # Stored by an older version: drop the addresses that cannot be written.
                    if not (left := fields.writable(mailboxes)):
                        continue
                    value, international = fields.addresses(name, left)
                smtputf8 = smtputf8 or international
                header.append((name.encode(), value))
        return header, smtputf8

    def _transformed(
        self, transformer: Transformer, rendered: tuple[BodyPart | Filling, ...], addressee: Addressee | None
    ) -> Entity:
        """The body of a message after the transform of ``rendered``. Raises NotComposable when it is too large."""
        if rendered is not self._renderer.shared:
            self._require_room([part for part in rendered if isinstance(part, Filling)])
        own = transformer.apply(rendered, addressee)
        return self._shared if own is transformer.parts else self._laid_out(own)

    def _laid_out(self, own: tuple[BodyPart | Filling, ...]) -> Entity:
        """The body of a message whose parts are ``own``. Raises NotComposable when it is too large."""
        self._require_room([part for part in own if isinstance(part, Filling)])
        entities = [
            self._filled(part) if isinstance(part, Filling) else self._shared_texts[index] or self._share(index, part)
            for index, part in enumerate(own)
        ]
        self._require_part_fits(max([len(entity.content) for entity in entities]))
        entities.sort(key=_rank)
        entity = entities[0] if len(entities) == 1 else self._multipart("alternative", entities)
        if self._inline:
            entity = self._multipart("related", [entity, *self._inline])
        if self._attached:
            entity = self._multipart("mixed", [entity, *self._attached])
        content = entity.content
        if content and not content.endswith(b"\r\n"):
            entity = _with_line_end(entity)
        return entity

    def _require_room(self, fillings: list[Filling]) -> None:
        """Raises NotComposable when the fillings would be too large. A cheap estimate nearly always shows that they are
        not."""
        largest = _ON_THE_WIRE * sum([filling.cut.at_most(filling.values) for filling in fillings])
        if largest <= self._limits.max_part_bytes and largest + self._files_bytes <= self._limits.max_bytes:
            return
        sizes = [_least_size(filling) for filling in fillings]
        self._require_part_fits(max(sizes))
        if self._files_bytes + sum(sizes) > self._limits.max_bytes:
            raise NotComposable(f"the message has more than {self._limits.max_bytes} bytes")

    def _require_part_fits(self, size: int) -> None:
        if size > self._limits.max_part_bytes:
            raise NotComposable(f"a text has {size} bytes, more than {self._limits.max_part_bytes}")

    def _filled(self, filling: Filling) -> Entity:
        form = _form(filling)
        if form is not None and (entity := form.fill(filling.values)) is not None:
            return entity
        part = filling.part()
        return parts.text(part.type, part.value)

    def _multipart(self, level: str, entities: list[Entity]) -> Entity:
        return parts.multipart(level, f"{self._boundary}{level[0]}", entities)

    # Shared content is encoded when the first message needs it, so that a fault in it does not fail a message that
    # overrides it.

    def _share(self, index: int, part: BodyPart) -> Entity:
        entity = self._shared_texts[index] = parts.shared(parts.text(part.type, part.value))
        return entity

    @_Once
    def _shared(self) -> Entity:
        return self._laid_out(self._renderer.parts if self._transformer is None else self._transformer.parts)

    @_Once
    def _shared_hash(self) -> bytes:
        return dkim.body_hash(self._shared.content)

    @_Once
    def _from(self) -> tuple[bytes, bool]:
        return fields.addresses("From", (self._content.from_,))

    @_Once
    def _reply_to(self) -> tuple[bytes, bool]:
        return fields.addresses("Reply-To", self._content.reply_to)

    @_Once
    def _subject(self) -> bytes:
        return fields.subject(self._content.subject)

    @_Once
    def _custom(self) -> "_Custom":
        return _custom(self._renderer.headers)


def compile_content(
    content: Content,
    files: Mapping[bytes, bytes],
    limits: MessageSettings = DEFAULT_LIMITS,
    transform: Transform | None = None,
    version: Version | None = None,
) -> Skeleton:
    """The skeleton of a request's messages. ``files``: sha256 → bytes, for all attachments of ``content``.
    ``transform`` changes the texts. ``version``: the version of a template that ``content`` names, if it names
    one.

    Raises NotComposable when no message of the request can be composed.
    """
    try:
        if content.original:
            return SubmittedSkeleton(content, limits, transform)
        return MimeSkeleton(content, files, limits, transform, version)
    except UnicodeEncodeError as error:
        raise half_pair() from error


def _with_line_end(entity: Entity) -> Entity:
    content = entity.content + b"\r\n"
    relaxed = entity.relaxed
    if relaxed is not None:
        relaxed = content if relaxed is entity.content else relaxed + b"\r\n"
    return Entity(entity.type, entity.encoding, content, relaxed=relaxed)


def _form(filling: Filling) -> Form | None:
    """The form of the part, made once for all fillings; None if each must be encoded as a whole."""
    cut = filling.cut
    if isinstance(cut.form, Undecided):
        pieces = cut.pieces()
        cut.form = None if pieces is None else text_form(cut.type, pieces.literals, pieces.keys, pieces.words)
    return cut.form


def _least_size(filling: Filling) -> int:
    """A lower bound, close to exact, of the part's octets on the wire."""
    form = _form(filling)
    return filling.cut.size(filling.values) if form is None else form.size(filling.values)


def _rank(entity: Entity) -> int:
    return _RANKS.get(entity.type.partition(b";")[0].decode(), _OTHER_RANK)


def _downgraded(header: _Fields, personalization: PreparedPersonalization) -> tuple[tuple[bytes, bytes], ...] | None:
    """The header for a host without SMTPUTF8, in which no recipient's address needs it. None if the address of From or
    Reply-To needs it: changing those would change the message."""
    recipients = {b"To": personalization.to, b"Cc": personalization.cc}
    downgraded: _Fields = []
    for name, value in header:
        if not value.isascii():
            if name not in recipients:
                return None
            value, _ = fields.addresses(name.decode(), fields.writable(recipients[name]), downgrade=True)
        downgraded.append((name, value))
    return tuple(downgraded)


class _Custom(Struct):
    """The sender's custom fields, and which of those that postray would write are among them."""

    fields: _Fields
    message_id: bytes | None = None
    unsubscribes: bool = False
    has_feedback_id: bool = False


def _custom(headers: Mapping[str, str]) -> _Custom:
    found = _Custom([])
    for name, value in headers.items():
        field = custom_fields.write(name, value)
        if field is None:
            continue
        lower = name.lower()
        if lower == "message-id":
            found.message_id = field[1]
            continue
        found.unsubscribes = found.unsubscribes or lower in ("list-unsubscribe", "list-unsubscribe-post")
        found.has_feedback_id = found.has_feedback_id or lower == "feedback-id"
        found.fields.append(field)
    return found
