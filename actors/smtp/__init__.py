"""An SMTP client, as a library: from the address of a host to the replies to each transaction.

The entry point is ``client.SmtpConnection``::

    connection = await SmtpConnection.open(host, address, port, settings=settings, helo_name="mail.example")
    result = await connection.send(Envelope("a@us.example", ("b@there.example",)), data)
    await connection.quit()

``open`` and each ``send`` go through these steps:

1. ``handshake.open_session`` connects a socket, reads the greeting and sends EHLO (RFC 5321 §3.1), or HELO where the
   host does not know EHLO. It sends STARTTLS as the TLS level requires (RFC 3207; ``tls`` makes the contexts and
   resumes sessions) and AUTH where there are credentials (RFC 4954). The transport then passes to a
   ``protocol.ClientProtocol``.
2. ``send`` checks the message's line ends, and ``commands.transaction_commands`` writes MAIL and RCPT for the
   extensions that the host has announced. A message that this host cannot carry is returned as unsendable; nothing is
   written.
3. ``SmtpConnection`` chooses the form of the transaction: in one flight with BDAT (RFC 3030) to a host that has
   accepted it before; with an empty chunk first to one that has not; with DATA in a flight (RFC 2920); or one command
   at a time.
4. The wire writes a flight and counts the replies against the stages that it expects, each within its time limit
   (RFC 5321 §4.5.3.2). ``reply.ReplyParser`` reads them.
5. ``transaction.Replies`` takes the replies and becomes a ``TransactionResult``: one reply for each recipient. What a
   reply means is for ``cluster.policy.replies``.
6. A connection that breaks raises ``protocol.ConnectionLost`` with the replies so far, and whether the host may have
   accepted the message. A connection that cannot be made raises ``protocol.ConnectError``. This package does not retry
   and has no pool.

``share.Share`` counts what one connection has carried against its host's limits (RFC 9422, or as observed). The
connection holds it; the pool reads it to choose the next job.
"""
