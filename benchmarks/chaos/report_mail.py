"""The mail by which hosts report on what they took: failures (RFC 3464) and complaints (RFC 5965). Pure."""

FEEDBACK = "fbl@bounces.example.com"
"""Where some complaints are sent."""
REPLY = "550 5.1.1 no such mailbox after all"

_FAILED = """\
From: Mail Delivery System <mailer-daemon@sink.test>
To: <{sender}>
Subject: Undelivered mail
Message-ID: <{name}@sink.test>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="part"

--part
Content-Type: text/plain

The message could not be delivered.

--part
Content-Type: message/delivery-status

Reporting-MTA: dns; sink.test

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; {reply}

--part--
"""
_COMPLAINT = """\
From: feedback@sink.test
To: {feedback}
Subject: complaint
Message-ID: <{name}@sink.test>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="part"

--part
Content-Type: text/plain

A recipient reports this message as spam.

--part
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Sink/1
Version: 1
Original-Mail-From: <{sender}>
Original-Rcpt-To: <{recipient}>

--part
Content-Type: message/rfc822

Return-Path: <{sender}>
From: chaos@mail.example.com
Subject: Message

--part--
"""


def failure_report(sender: str, recipient: str, name: str) -> bytes:
    """``sender``: the envelope sender of the message. ``name``: of this report, which no other has."""
    return _wire(_FAILED.format(sender=sender, recipient=recipient, name=name, reply=REPLY))


def complaint(sender: str, recipient: str, name: str) -> bytes:
    """As ``failure_report``."""
    return _wire(_COMPLAINT.format(sender=sender, recipient=recipient, name=name, feedback=FEEDBACK))


def _wire(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("ascii")
