"""TLS reports (RFC 8460), in the scheduler's process: what came of TLS on a day is told to the domains that ask for it.

``reporting`` decides what is due and keeps what was sent, ``sending`` delivers one report, ``mail`` writes it as mail,
``looking`` shows what would be sent.
"""
