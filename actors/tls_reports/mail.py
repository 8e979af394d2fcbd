"""A TLS report as a mail (RFC 8460 §5.3). Pure."""

from datetime import date
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import SMTP
from hashlib import sha256

from cluster.policy.tls.report import file_name, report_id

_POLICY = SMTP.clone(max_line_length=998)  # RFC 5322 §2.1.1; names in a field are not divided


def report_mail(domain: str, day: date, document: bytes, *, sender: str, to: str, submitter: str) -> bytes:
    """The message, without Date and Message-ID. ``document``: compressed. ``submitter``: the domain that reports. All
    names and addresses are plain ASCII without spaces."""
    id = report_id(domain, day, submitter)
    name = file_name(domain, day, submitter)
    words = f"This is a report of {submitter} on TLS towards {domain} on {day}, see RFC 8460.\n"
    text = MIMEText(words, "plain", "us-ascii")
    file = MIMEApplication(document, "tlsrpt+gzip")
    file["Content-Disposition"] = f'attachment; filename="{name}"'
    for part in (text, file):
        del part["MIME-Version"]
    mail = MIMEMultipart("report", sha256(id.encode()).hexdigest()[:32], [text, file], report_type="tlsrpt")
    mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = f"Report Domain: {domain} Submitter: {submitter} Report-ID: <{id}>"
    mail["TLS-Report-Domain"] = domain
    mail["TLS-Report-Submitter"] = submitter
    mail["TLS-Required"] = "No"  # RFC 8689 §5: relays of ours, too, must not fail by TLS
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5
    return mail.as_bytes(policy=_POLICY)
