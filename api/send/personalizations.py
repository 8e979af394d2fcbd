"""The rules for personalizations. Pure, and the one hot loop of validation: 1,000 of them in a few milliseconds.

A typical personalization (one recipient, a few plain fields) needs no call except the address match.
"""

from api.http.refusals import Fault
from api.send.custom_headers import check_headers
from api.send.notes import Notes
from api.send.reply_to import ReplyTo, reply_to_text
from api.send.request import Mailbox, MailSend, Personalization
from api.send.sizes import LONGEST_PLAIN_NAME, Sizes, too_large
from api.send.texts import LINE_ENDS, LONGEST_CUSTOM_ARGS, check_data
from cluster.message.addresses import bare, is_address
from cluster.message.substitution import LONGEST_SUBSTITUTIONS, substituted_size
from cluster.message.transfer_encoding import octets
from cluster.policy.routes.domains import spelled

MOST_PERSONALIZATIONS = 1000
MOST_RECIPIENTS = 1000
"""The limit for one personalization, over to, cc and bcc."""
MOST_RECIPIENTS_IN_ALL = 100_000
LATEST_SEND_AT = 253_370_764_800
"""The start of the year 9999, the last that Python's dates support. A time in milliseconds is far beyond it."""


def too_many_personalizations() -> Fault:
    return Fault(f"At most {MOST_PERSONALIZATIONS} personalizations", "personalizations")


def too_many_recipients(where: str) -> Fault:
    """``where`` is the path of the personalization."""
    return Fault(f"At most {MOST_RECIPIENTS} recipients in to, cc and bcc together", where)


def check_personalizations(
    mail: MailSend, sizes: Sizes, most_subject: int, faults: list[Fault], notes: Notes, *, takes_data: bool
) -> None:
    """All faults of the personalizations, and of the top level for rules that combine the two. ``most_subject`` is the
    limit for a subject after substitution, in octets. Data for a template is dropped unless the request ``takes_data``;
    templating.py checks it."""
    personalizations = mail.personalizations
    if not personalizations:
        faults.append(Fault("At least one personalization is required", "personalizations"))
        return
    if len(personalizations) > MOST_PERSONALIZATIONS:
        faults.append(too_many_personalizations())
        return
    _check_send_at(mail.send_at, "send_at", faults)
    shared_args = mail.custom_args or {}
    shared_size = check_data(shared_args, "custom_args", [], longest=None) if shared_args else 0
    shared_subject = mail.subject or ""
    if len(shared_subject.strip(" \t")) > most_subject:
        shared_subject = ""  # its fault is reported already
    reply_to: ReplyTo | None = None
    reply_text = reply_to_text(mail)
    recipients = 0
    for index, one in enumerate(personalizations):
        to = one.to
        if (
            to is not None
            and len(to) == 1
            and one.cc is None
            and one.bcc is None
            and (email := to[0].email) is not None
            and is_address(email)
            and ((name := to[0].name) is None or (len(name) <= LONGEST_PLAIN_NAME and name.isprintable()))
        ):
            recipients += 1
            is_plain = True
        else:
            recipients += _check_recipients(one, f"personalizations[{index}]", faults)
            is_plain = False
        subject = one.subject or shared_subject
        if one.subject is not None:
            check_subject(one.subject, most_subject, f"personalizations[{index}].subject", faults)
        if one.dynamic_template_data and not takes_data:
            notes.ignore(f"personalizations[{index}].dynamic_template_data")
            one.dynamic_template_data = None
        if one.custom_args:
            _check_custom_args(one.custom_args, shared_args, shared_size, index, faults)
        if one.substitutions:
            size = _check_substitutions(one.substitutions, subject, most_subject, index, faults)
            is_plain = is_plain and size <= sizes.harmless
            if reply_text:
                for name in one.substitutions:
                    if name in reply_text and name:
                        reply_to = reply_to or ReplyTo(mail)
                        reply_to.check(one.substitutions, f"personalizations[{index}].substitutions", faults)
                        break
        if not is_plain or one.headers or (one.from_ is not None and len(one.from_.name or "") > LONGEST_PLAIN_NAME):
            sizes.check_message(index, one, faults)
        if one.headers or one.from_ is not None or one.send_at is not None:
            _check_rarer(one, f"personalizations[{index}]", faults, notes)
    if recipients > MOST_RECIPIENTS_IN_ALL:
        faults.append(Fault(f"At most {MOST_RECIPIENTS_IN_ALL} recipients in a request", "personalizations"))


def check_subject(subject: str, most: int, where: str, faults: list[Fault]) -> None:
    """``most`` is in octets."""
    if not subject.isprintable() and LINE_ENDS.search(subject):
        faults.append(Fault("A subject may not contain CR, LF or NUL", where))
    if 4 * len(subject) > most and (size := octets(subject.strip(" \t"))) > most:  # as it is sent
        faults.append(too_large("The subject", size, most, where))


def _check_substitutions(
    substitutions: dict[str, str], subject: str, most_subject: int, index: int, faults: list[Fault]
) -> int:
    """The faults of substitutions, in total and in the subject. Returns the characters of keys and values."""
    size, said = 0, len(subject)
    for name, value in substitutions.items():
        size += len(name) + len(value)
        if name in subject:
            said += subject.count(name) * len(value)
        if "\0" in name or "\0" in value:
            where = f"personalizations[{index}].substitutions.{name[:100]}"
            faults.append(Fault("Text may not contain NUL", where))
    if 4 * size > LONGEST_SUBSTITUTIONS:
        length = sum([len(name.encode()) + len(value.encode()) for name, value in substitutions.items()])
        if length > LONGEST_SUBSTITUTIONS:
            where = f"personalizations[{index}].substitutions"
            faults.append(Fault(f"At most {LONGEST_SUBSTITUTIONS} bytes in all", where))
            return 0
    # At most four octets per character: this bound is enough for most subjects.
    if 4 * said > most_subject and said > len(subject):
        length = substituted_size(subject, substitutions)
        if length > most_subject:
            where = f"personalizations[{index}].substitutions"
            faults.append(too_large("The subject", length, most_subject, where))
    return size


def has_address(mailbox: Mailbox) -> bool:
    """Whether its email is an address. Surrounding white space is removed from the request."""
    email = mailbox.email
    if not email or is_address(email):
        return bool(email)
    if (stripped := bare(email)) == email or not is_address(stripped):
        return False
    mailbox.email = stripped
    return True


def check_mailbox(mailbox: Mailbox, where: str, faults: list[Fault]) -> None:
    if not mailbox.email:
        faults.append(Fault("The email address is required", f"{where}.email"))
    elif not has_address(mailbox):
        faults.append(Fault("This is not a valid email address", f"{where}.email"))
    if mailbox.name is not None and LINE_ENDS.search(mailbox.name):
        faults.append(Fault("A name may not contain CR, LF or NUL", f"{where}.name"))


def _check_recipients(one: Personalization, where: str, faults: list[Fault]) -> int:
    """How many there are."""
    if not one.to:
        faults.append(Fault("At least one recipient is required", f"{where}.to"))
    lists = (("to", one.to or ()), ("cc", one.cc or ()), ("bcc", one.bcc or ()))
    count = sum(len(mailboxes) for _, mailboxes in lists)
    if count > MOST_RECIPIENTS:
        faults.append(too_many_recipients(where))
        return count
    seen: set[str] = set()
    for name, mailboxes in lists:
        for index, mailbox in enumerate(mailboxes):
            check_mailbox(mailbox, f"{where}.{name}[{index}]", faults)
            # RFC 5321 §2.4: the case of a local part may matter, but current providers treat "Ada" and "ada" as equal.
            spelling = spelled(mailbox.email or "").lower()
            if spelling in seen:
                faults.append(
                    Fault("Each address may be given once over to, cc and bcc", f"{where}.{name}[{index}].email")
                )
            elif spelling:
                seen.add(spelling)
    return count


def _check_custom_args(
    own: dict[str, object], shared: dict[str, object], shared_size: int, index: int, faults: list[Fault]
) -> None:
    """The limit applies to the message's merged values: its own replace the shared ones, key by key."""
    where = f"personalizations[{index}].custom_args"
    faults_before = len(faults)
    size = check_data(own, where, faults, longest=LONGEST_CUSTOM_ARGS)
    # The merged object is no longer than both together, so it is seldom built.
    if shared and len(faults) == faults_before and size + shared_size > LONGEST_CUSTOM_ARGS >= shared_size:
        check_data({**shared, **own}, where, faults, longest=LONGEST_CUSTOM_ARGS)


def _check_rarer(one: Personalization, where: str, faults: list[Fault], notes: Notes) -> None:
    if one.headers:
        check_headers(one.headers, f"{where}.headers", faults, notes)
    if one.from_ is not None:
        if not has_address(one.from_):
            faults.append(Fault("This is not a valid from address", f"{where}.from"))
        elif one.from_.name is not None:
            check_mailbox(one.from_, f"{where}.from", faults)
    _check_send_at(one.send_at, f"{where}.send_at", faults)


def _check_send_at(send_at: int | None, where: str, faults: list[Fault]) -> None:
    if send_at is not None and send_at > LATEST_SEND_AT:
        faults.append(Fault("A send time is in seconds since 1970, and before the year 9999", where))
