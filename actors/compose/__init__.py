"""Composing: from a request's stored content and one message's own data to the octets of an SMTP transaction. Pure: no
I/O, no clock, no chance.

A message's way:

1. **Compile**, once per request (``mime.compile_content``). Attached files are encoded, boundaries derived from the
   content. Everything else that messages share is encoded when the first of them needs it, and then kept.
2. **Render** (``render.Renderer``): the personalization is laid over the content; substitution keys and the footer
   find their places. What nothing of the message's own changes is the very same object for each message. A text with
   keys is cut at them once, and a message brings the values.
3. **Transform** (``transform.Transformer``), where a request has a transform; others skip this step. It changes texts
   for all messages alike, or leaves places in them that are filled in for each recipient. In the latter case a
   message's recipients get a copy each: same header, own places, own transaction. A transform sees a text that
   messages share once, so its work, the encoding and the hash of the body are done once for what it leaves the same.
4. **Lay out** (``mime.Skeleton.compose``, ``parts``): a text with holes is encoded between them once per request, and
   only the values per message; the parts are put together to alternative, related and mixed. Before a text is made
   its size is reckoned from its values, those of the transform included, and held to the limits of settings.
5. **Head** (``mime.Skeleton.compose``, ``cluster.message.header_fields``): the header fields in their order; a second
   form for hosts without SMTPUTF8, where one is needed and possible.
6. **Draft** (``message.draft_message``, ``dkim.Signer.unsigned``): the pieces of the message, and what is to be signed.
   The body's hash is computed once where the body is shared.
7. **Finish** (``message.finish``, ``dkim.sign_all``, ``rsa``): several drafts are signed together, and each is joined
   to a ``WireMessage``. ``date`` and Message-ID are the message's own: two attempts differ in their signatures alone.

A message of which nothing can be made raises NotComposable; it fails no other message of its request.
``actors/delivery/composing.py`` calls this, for claimed deliveries.
"""
