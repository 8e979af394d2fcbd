"""A data directory of the release before, with mail in it: how it is made (``store.py``) and brought back
(``stored.py``)."""
