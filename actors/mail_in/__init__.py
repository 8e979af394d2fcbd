"""Mail in: reports on messages, complaints, and unsubscribes by mail, from the SMTP server to the journal.

``server`` accepts mail only for addresses that postray made (``cluster/message/return_address.py``), and for those that
complaints are sent to. ``cluster/mail_in`` parses a mail. ``taking`` finds the message that it is about, ``deciding``
chooses the effects, and the journal applies them (``cluster/journal/mail_in.py``) before the mail is answered.
``forwarding`` sends reports on to tenants that ask for them.
"""
