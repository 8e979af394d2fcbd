"""Submitted messages: reading the octets of an RFC 5322 message without changing them. Pure.

``header.py`` finds the fields of a header, ``structure.py`` the MIME parts of a body, both by their exact places;
``parameters.py`` reads the fields that say what a part is, ``texts.py`` reads and writes the text of a part in its own
charset and transfer encoding, ``reading.py`` shows a message as others are shown. ``actors/compose/submitted.py``
composes.

A message may be hostile. Everything takes time linear in its octets, and what cannot be read is left as it is.
"""
