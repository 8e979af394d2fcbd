"""TLS reports (RFC 8460), in the scheduler's process: domains that ask for it are told each day how TLS with them went.

``reporting`` decides what is due and records what was sent, ``sending`` delivers one report, ``mail`` writes it as a
mail, ``looking`` shows what would be sent.
"""
