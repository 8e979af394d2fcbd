"""Webhooks: endpoints, the bundles of events that they are owed, the bodies of both dialects, and signatures.

Pure, as far as it can be: the journal keeps endpoints and bundles, and actors/webhooks posts them.
"""
