"""What tracking changes in a message: links, the pixel and the unsubscribe address in its texts, and header fields.

A request's choices are ``cluster.tracking.choices.Tracking``; the tokens of URLs are made by
``cluster/tracking/tokens.py``.
"""
