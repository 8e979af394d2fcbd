"""Who may do what: scopes, the terms of API keys, signed tokens, and where a client is.

- ``scopes.py``: the table of scopes. ``terms.py``: expiry and networks of a key. ``client_address.py``: the address of
  a client behind proxies. ``claims.py``: what a JWT grants. All pure.
- ``key_set.py``: the public keys of a token issuer, fetched and rotated in the background.
- ``tokens.py``: verifies JWTs, with a cache. ``last_use.py``: records when keys were used.
"""
