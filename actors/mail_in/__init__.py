"""Mail in: reports on messages, complaints, and unsubscribes by mail, from the SMTP server to the journal.

``server`` accepts mail only for addresses that postray made (``cluster/message/return_address.py``), and for those that
complaints are sent to. ``taking`` finds the message that a mail is about, ``deciding`` says what follows, and the
journal does it (``cluster/journal/mail_in.py``) before the mail is answered. ``forwarding`` sends reports on to tenants
that ask for them. What a mail is, ``cluster/mail_in`` says.
"""
