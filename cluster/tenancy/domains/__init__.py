"""Sender domains: the records that their owners publish, and whether the DNS shows them."""
