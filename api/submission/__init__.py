"""Submission: mail that programs hand over by SMTP (RFC 6409), with an API key as the password.

``server`` knows the keys and answers; ``reading`` makes a request of an envelope and a message, ``smtpapi`` of the
settings in X-SMTPAPI. From there on it is a request like any other (``api/send``): the same checks, limits and commit.
"""
