"""Limits: how many connections, which rates, when to retry and until when."""
