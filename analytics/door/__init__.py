"""The SQL door: ClickHouse's HTTP interface for reading, in front of the embedded engine or a server.

A query goes through these steps, and none of them trusts the one before:

1. ``logins`` tells the operator from a tenant's API key.
2. ``parsing`` has ClickHouse's own parser make a tree of the text, and ``checking`` admits only what lists allow
   (``allowed``): statements, tables, functions, settings, formats. What runs is the text of the checked tree.
3. The tables with tenants' rows are read through filters that are set with the query, apart from its text.
4. ``embedded`` runs it read-only, within limits of time, memory and threads, on threads that can open only the engine's
   folder (``cluster/installation/confinement.py``); ``proxied`` passes it to the operator's own server, read-only and
   within the same limits.

``app`` speaks HTTP, ``server`` puts it all together.
"""
