"""An SMTP client, as a library: from the address of a host to the replies that each transaction has had.

The way in is ``client.SmtpConnection``::

    connection = await SmtpConnection.open(host, address, port, settings=settings, helo_name="mail.example")
    result = await connection.send(Envelope("a@us.example", ("b@there.example",)), data)
    await connection.quit()

``open`` and each ``send`` go through these steps:

1. ``handshake.open_session`` connects a socket, reads the greeting and says EHLO (RFC 5321 §3.1), or HELO where EHLO is
   not known. It says STARTTLS as the level of TLS asks (RFC 3207; ``tls`` makes the contexts and resumes sessions) and
   AUTH where there are credentials (RFC 4954). The transport is then handed to a ``protocol.Wire``.
2. ``send`` checks the message's line ends, and ``commands.transaction_commands`` writes MAIL and RCPT for what the host
   has announced. A message that this host cannot carry is returned as unsendable, and no octet is written.
3. ``SmtpConnection`` chooses how the transaction goes: in one flight with BDAT (RFC 3030) to a host that has taken it
   before; with an empty chunk first to one that has not; with DATA in a flight (RFC 2920); or one command at a time.
4. The wire writes a flight and counts the replies against the stages that it expects, each within its time limit
   (RFC 5321 §4.5.3.2). ``reply.ReplyParser`` reads them.
5. ``transaction.Replies`` takes the replies and becomes a ``TransactionResult``: one reply for each recipient. What a
   reply means is for ``cluster.policy.replies``.
6. A connection that breaks raises ``protocol.ConnectionLost`` with the replies so far, and whether the host may have
   accepted the message. One that is never made raises ``protocol.ConnectError``. There is no retry here, and no pool.

``share.Share`` counts what one connection has carried against what its host lets it carry (RFC 9422, or as the host has
shown). The connection holds it; the pool that chooses the next job reads it.
"""
