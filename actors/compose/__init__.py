"""Composing: from a request's stored content and one message's own data to the octets of an SMTP transaction. It is
pure: no I/O, no clock, no randomness.

The steps for a message:

1. **Compile**, once per request (``mime.compile_content``). Attached files are encoded, boundaries derived from the
   content. Everything else that messages share is encoded when the first of them needs it, and then kept.
2. **Render** (``render.Renderer``): the personalization overrides the content; substitution keys or the holes of a
   template are filled and the footer is added. Whatever a message does not change is the same object for each message.
   A text with keys is cut at them once, and a message supplies the values. The texts of a template's version are cut
   once for all requests (``templated.Version``).
3. **Transform** (``transform.Transformer``), if the request has a transform. It changes texts for all messages alike,
   or leaves places in them that are filled in for each recipient. In the latter case each recipient gets a copy: same
   header, own places, own transaction. A transform sees a shared text once. So its work, the encoding and the hash of
   the body are done once for everything that stays shared.
4. **Lay out** (``mime.MimeSkeleton.compose``, ``parts``): of a text with holes (``holed``), the literals are encoded
   once per request or version, and the values per message; the parts are combined to alternative, related and mixed.
   Before a text is made, its size is computed from its values, those of the transform included, and checked against the
   limits in settings.
5. **Head** (``mime.MimeSkeleton.compose``, ``cluster.message.header_fields``): the header fields in their order, and a
   second form for hosts without SMTPUTF8 if one is needed and possible.
6. **Draft** (``message.draft_message``, ``dkim.Signer.unsigned``): the pieces of the message, and the octets to sign.
   The hash of a shared body is computed once.
7. **Finish** (``message.finish``, ``dkim.sign_all``, ``rsa``, ``ed25519``): several drafts are signed together, with
   each key of their domains, and each is joined to a ``WireMessage``. ``date`` and Message-ID belong to the message,
   so two attempts differ only in the signatures.

A submitted message has a skeleton of its own (``submitted``): its texts take steps 2 and 3, and everything else is sent
as it came.

A message that cannot be composed raises NotComposable; other messages of its request are not affected.
``actors/delivery/composing.py`` calls this, for claimed deliveries.
"""
