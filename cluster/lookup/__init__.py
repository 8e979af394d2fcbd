"""Look-ups: what the DNS and the hosts of policies answer, and how long each answer is cached."""
