"""Limits: how much, how fast, how often and until when."""
