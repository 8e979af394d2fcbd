"""/api/v1/emails: PiiSend's dialect of sending and following mail. Its messages are those of /v3, and back.

``requests.py`` reads a body, ``drafting.py`` makes a request to send of it, ``sending.py`` and ``calls.py`` have the
routes, ``statuses.py``, ``views.py`` and ``attempts.py`` the answers.
"""
