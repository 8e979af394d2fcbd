"""The SMTP client, a library: from an address to connect to, to the replies that a transaction has had."""
