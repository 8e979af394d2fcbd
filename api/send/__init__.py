"""``POST /v3/mail/send``: from the body to a prepared request that the intake commits."""
