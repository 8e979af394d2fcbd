"""The limits that a host announces for a connection, and its replies when a limit is reached."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.smtp.reply import make_reply
from cluster.policy.limits.session import (
    EXAMINED_CHARS,
    UNBOUNDED,
    UNLIMITED,
    SessionLimits,
    Spent,
    announced,
    fitting,
    spent,
)
from tests.growth import assert_in_proportion

USED_UP = [
    # Exim (smtp_accept_max_per_connection), Amazon SES
    ("421 too many messages in this connection", Spent.MESSAGES),
    # KumoMTA
    ("421 4.5.3 mx.example.com too many recipients on this connection", Spent.RECIPIENTS),
    ("451 4.5.3 mx.example.com too many messages on this connection", Spent.MESSAGES),
    # Yahoo
    ("421 Max message per connection reached, closing transmission channel", Spent.MESSAGES),
    # NetEase
    ("450 MI:DMC 163 mx1,AcCowAD3 1700000000 http://mail.163.com/help/help_spam_16.htm", Spent.MESSAGES),
    # Cisco's Email Security Appliance
    ("421 Too many messages for this session", Spent.MESSAGES),
    ("421 Exceeded allowable connection time, disconnecting.", Spent.OTHER),
    ("421 4.4.2 mx.example.com closing connection: too many messages for this session", Spent.MESSAGES),
    # Other wordings
    ("452 4.4.5 Maximum number of messages per session exceeded", Spent.MESSAGES),
    ("452 4.5.3 too many recipients on this connection", Spent.RECIPIENTS),
    ("452 4.5.3 Too many recipients in this session", Spent.RECIPIENTS),
    ("450 4.7.1 Too many mails in one session", Spent.MESSAGES),
    ("421 4.7.0 Too many messages in a single SMTP session, please reconnect", Spent.MESSAGES),
    ("421-4.7.0 mx.example.com\n421 4.7.0 Too many e-mails sent over this connection", Spent.MESSAGES),
    ("452 Too many transactions per session", Spent.MESSAGES),
    ("421 4.3.2 Message limit per connection exceeded", Spent.MESSAGES),
    ("421 per-connection message limit reached", Spent.MESSAGES),
    ("450 4.3.2 Session message limit reached", Spent.MESSAGES),
    ("421 You have sent the maximum of 50 messages allowed per SMTP connection", Spent.MESSAGES),
    ("421 4.7.0 This connection has sent too many messages", Spent.MESSAGES),
    ("421 Only 10 messages are accepted per connection; try again in 5 minutes", Spent.MESSAGES),
    ("452 4.3.1 max messages (20) per connection", Spent.MESSAGES),
    ("554 5.7.1 Too many messages per session", Spent.MESSAGES),
    ("452 4.5.3 Maximum number of RCPT TO per connection exceeded", Spent.RECIPIENTS),
    ("421 Rate limit: no more than 10 messages per connection", Spent.MESSAGES),
    ("451 Limit reached, please send the rest in a new connection", Spent.OTHER),
    ("421 4.4.2 Session time limit exceeded", Spent.OTHER),
    ("421 Maximum messages per connection (10) reached", Spent.MESSAGES),
    ("421 msgs per connection exceeded", Spent.MESSAGES),
    ("421 4.4.0 Message count exceeded for this session", Spent.MESSAGES),
    ("421 4.2.1 too many messages in this connection", Spent.MESSAGES),
    ("421 4.7.0 too many MAIL commands in this session", Spent.MESSAGES),
    ("421 Number of messages on this SMTP session has exceeded the allowed maximum", Spent.MESSAGES),
    ("421 4.7.0 Sorry, no more mail in this session, come back in an hour", Spent.MESSAGES),
    ("452 4.5.3 Connection recipient limit exceeded", Spent.RECIPIENTS),
    ("452 4.5.3 The number of recipients in this session exceeds the limit", Spent.RECIPIENTS),
    # Postfix, Exchange and Exim, when a connection was idle
    ("421 4.4.2 mx.example.com Error: timeout exceeded", Spent.OTHER),
    ("421 4.4.1 Connection timed out", Spent.OTHER),
    ("421 mx.example.com: SMTP command timeout - closing connection", Spent.OTHER),
    ("421 4.4.2 idle for too long", Spent.OTHER),
    # Without "in this session"
    ("421 Too many transactions, reconnect", Spent.MESSAGES),
    ("452 4.3.2 Too many transactions", Spent.MESSAGES),
    ("421 Closing connection: message limit reached", Spent.MESSAGES),
    ("421 Message limit reached", Spent.MESSAGES),
    ("452 4.3.2 Message limit has been reached, closing connection", Spent.MESSAGES),
    ("421 mail limit exceeded; please reconnect", Spent.MESSAGES),
    ("421 4.3.2 session limit exceeded", Spent.OTHER),
    ("452 session limits exceeded", Spent.OTHER),
    ("452 4.4.5 session limit(s) exceeded", Spent.OTHER),
    ("421 Session limit reached", Spent.OTHER),
    ("421 4.3.2 connection has reached its message quota", Spent.MESSAGES),
    ("452 The session has exceeded its allowance: 10 messages at most", Spent.MESSAGES),
    ("452 4.5.3 session quota of 10 mails exhausted", Spent.MESSAGES),
    ("452 4.5.3 session quota of 10 recipients exhausted", Spent.RECIPIENTS),
    ("421 connection limit: 20 messages", Spent.MESSAGES),
    ("421 Maximum transactions reached", Spent.MESSAGES),
    ("421 4.3.2 Maximum number of messages reached", Spent.MESSAGES),
    ("421 4.7.0 Too many MAIL commands", Spent.MESSAGES),
    ("503 5.5.1 too many MAIL FROM commands", Spent.MESSAGES),
    ("421 limit reached, please reconnect", Spent.OTHER),
    ("421 Too many mails, please reconnect", Spent.OTHER),
    ("550 5.7.1 Message limit reached", Spent.MESSAGES),
    ("421 Message count limit reached", Spent.MESSAGES),
    ("421 4.7.0 limit of 100 messages reached", Spent.MESSAGES),
    ("421 4.7.0 session exceeded maximum number of messages", Spent.MESSAGES),
    ("421 no more transactions", Spent.MESSAGES),
]
NOT_USED_UP = [
    # Replies about the rate, the peer, or the mailbox, with words that also occur in replies about connections
    "421 rate limited: 100 messages per connection-minute",
    "421 4.7.0 too many messages per IP-hour in this connection",
    "554 5.7.1 Mail from this IP exceeds the limit of messages from one connection provider",
    "450 4.7.1 too many messages over this connection type",
    "450 4.2.1 recipient receives too many messages; try in a new session",
    "450 the recipient has received too many messages; try in a new session",
    "450 4.2.1 too many messages for this mailbox, use another connection",
    "450 4.7.1 message limit reached for this sender",
    "421 rate limit exceeded: too many messages, reconnect",
    "421 too many messages, reconnect in 10 minutes",
    "421 limit of 100 messages reached for this account",
    "421 4.7.0 rate limit reached, reconnect later",
    "421 too many connections, reconnect",
    "421 4.3.2 concurrent session limit exceeded",
    "421 4.3.2 connection limit exceeded",
    "421 daily message limit reached",
    "552 5.3.4 message size limit exceeded",
    "421 maximum number of messages reached for today",
    "452 4.5.3 maximum number of recipients reached",
    # Postfix
    "421 4.7.0 mx.example.com Error: too many connections from 192.0.2.1",
    "450 4.7.1 Error: too much mail from 192.0.2.1",
    "450 4.7.1 <a@example.com>: Recipient address rejected: too many recipients from [192.0.2.1]",
    "421 4.7.0 mx.example.com Error: too many errors",
    "452 4.5.3 Error: too many recipients",
    # Sendmail, Exim
    "421 4.3.2 Connection rate limit exceeded.",
    "421 Too many concurrent SMTP connections from this IP address; please try again later.",
    "452 too many recipients",
    "421 4.7.0 mx.example.com Too many bad commands; closing connection",
    # Exchange, Outlook
    "421 4.4.2 Message submission rate for this client has exceeded the configured limit",
    "421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel",
    "421 4.7.0 Too many errors on this connection, closing transmission channel",
    "451 4.7.652 The mail server [192.0.2.1] has exceeded the maximum number of connections. (S3115)",
    "451 4.7.500 Server busy. Please try again later from [192.0.2.1].",
    "452 4.5.3 Too many recipients per message",
    "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded",
    # Gmail
    "421 4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP address.",
    "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages",
    "452 4.5.3 Your message has too many recipients.",
    "452 4.2.2 The email account that you tried to reach is over quota.",
    # Yahoo, AOL
    "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints",
    "450 User is receiving mail too quickly",
    # qq, NetEase
    "550 Ip frequency limited [AAAA IP: 192.0.2.1]",
    "550 Connection frequency limited",
    "550 Mailbox unavailable or access denied: too many messages per hour in this session",
    "421 HL:ICC 163 mx1 http://mail.163.com/help/help_spam_16.htm",
    # Orange, mail.ru, Comcast, Barracuda, and others
    "421 mwinf5c04 ME Service refuse. Veuillez essayer plus tard. OFR004_104 too many connections",
    "451 Too many messages from your IP this hour, try again later",
    "421 4.7.0 resources: too many sessions",
    "452 Too many recipients received this hour",
    "452 4.7.1 Hourly message limit exceeded",
    "450 4.7.1 You have sent 100 messages within 10 minutes",
    "452 4.3.1 Insufficient system storage",
    "421 4.3.2 Service not available, closing transmission channel",
    "421 Too many messages, closing this connection",
    "550 5.1.1 unknown user",
    "452 4.4.5 Insufficient disk space; try again later",
    "421 too many unknown recipients in this session",
    "421 Too many connections; no messages are taken in this session",
    "450 4.7.1 too many messages in this session: 100 an hour",
    "421 4.7.0 too many sessions per client; messages refused",
    "452 4.2.2 mailbox full, messages of this session exceed the quota",
    "250 2.0.0 maximum messages per session",
    "451 4.4.1 Connection timed out",
    "421 4.3.0 directory lookup: timeout",
]


def said(text: str) -> Spent | None:
    lines = text.split("\n")
    reply = make_reply(int(lines[0][:3]), lines)
    return spent(reply.code, reply.enhanced, reply.text)


@pytest.mark.parametrize(("text", "what"), USED_UP)
def test_a_reply_about_this_connection(text: str, what: Spent) -> None:
    assert said(text) is what


@pytest.mark.parametrize("text", NOT_USED_UP)
def test_a_reply_about_something_else(text: str) -> None:
    assert said(text) is None


def test_an_address_says_nothing() -> None:
    assert said("450 4.3.0 <too.many.messages.per.session@example.com> later") is None


@pytest.mark.parametrize("words", ["in this ", "messages ", "too many messages a per ", "connection "])
def test_a_long_reply_takes_time_in_proportion(words: str) -> None:
    def says(chars: int) -> None:
        text = "421 too many " + (words * chars)[:chars]
        for _ in range(10):
            said(text)

    assert said("421 too many " + words * 300) is None
    assert_in_proportion(says, EXAMINED_CHARS // 16, EXAMINED_CHARS)
    assert_in_proportion(says, EXAMINED_CHARS, EXAMINED_CHARS * 16)


# LIMITS

LIMITS = [
    ("", UNLIMITED),
    ("RCPTMAX=20 MAILMAX=5", SessionLimits(messages=5, recipients_per_transaction=20)),
    ("mailmax=1 RcptDomainMax=3", SessionLimits(messages=1, domains=3)),
    ("MAILMAX=999999", SessionLimits(messages=999_999)),
    ("MAILMAX=10 MAILMAX=4 MAILMAX=7", SessionLimits(messages=4)),
    ("FUTURE=1 FLAG MAILMAX=2 X=y=z", SessionLimits(messages=2)),
    ("MAILMAX=0 RCPTMAX=05 RCPTDOMAINMAX=1000000", UNLIMITED),
    ("MAILMAX= RCPTMAX RCPTDOMAINMAX=-1 =5 MAILMAX=+3 MAILMAX=3.0 MAILMAX=\u0661", UNLIMITED),
    ("MAILMAX =5 RCPTMAX= 20", UNLIMITED),
]


@pytest.mark.parametrize(("text", "limits"), LIMITS)
def test_what_is_announced(text: str, limits: SessionLimits) -> None:
    assert announced(text) == limits


@given(st.text(), st.sampled_from([None, "4.4.5", "5.7.1"]))
def test_no_reply_breaks_it(text: str, enhanced: str | None) -> None:
    assert spent(452, enhanced, text) in (None, *Spent)


@given(st.text())
def test_whatever_is_announced_can_be_kept_to(text: str) -> None:
    limits = announced(text)
    assert min(limits.messages, limits.recipients, limits.recipients_per_transaction, limits.domains) >= 1


def test_the_lesser_of_two_holds() -> None:
    both = SessionLimits(messages=5, domains=2).narrowed(SessionLimits(messages=9, domains=1, recipients=3))
    assert both == SessionLimits(messages=5, domains=1, recipients=3)


RECIPIENTS = ["a@one.test", "b@two.test", "c@ONE.test", "d@three.test"]


@pytest.mark.parametrize(
    ("at_most", "domains", "domains_at_most", "places"),
    [
        (UNBOUNDED, set(), UNBOUNDED, [0, 1, 2, 3]),
        (2, set(), UNBOUNDED, [0, 1]),
        (UNBOUNDED, set(), 1, [0, 2]),
        (UNBOUNDED, {"two.test"}, 1, [1]),
        (UNBOUNDED, {"two.test"}, 2, [0, 1, 2]),
        (2, {"three.test"}, 2, [0, 2]),
        (UNBOUNDED, {"four.test"}, 1, []),
        (0, set(), UNBOUNDED, []),
        (-1, set(), UNBOUNDED, []),
    ],
)
def test_what_one_transaction_may_carry(
    at_most: int, domains: set[str], domains_at_most: int, places: list[int]
) -> None:
    assert fitting(RECIPIENTS, at_most, domains, domains_at_most) == places
