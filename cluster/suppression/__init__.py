"""Suppression lists: which addresses a tenant's mail does not go to, and why.

The claim of a delivery decides, in its own statement (``cluster/journal/queue.sql``), so that what was put on a list
before holds for mail of any age. This package has the terms; ``cluster/journal/suppressions.py`` has the lists.
"""
