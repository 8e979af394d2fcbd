"""Tenants: what each has of its own, and one cached record of it for everything that a request or a delivery must know.

- ``tenant.py``: the record. ``settings.py`` and ``limits.py``: its defaults, and how they are stored. Pure.
- ``directory.py``: the cache of tenants and API keys in one process, kept true by polling the journal.
- ``limiter.py``: the limits of tenants over the cluster, as one process keeps them. Its parts: ``window.py`` (one
  limit), ``quota.py`` (one day), ``peers.py`` (the other processes), ``shares.py`` (the decision).
- ``granting.py``: new tenants, keys and sender domains.
"""
