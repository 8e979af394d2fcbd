"""``POST /v3/mail/send``: from a body to a request that is ready to be committed."""
