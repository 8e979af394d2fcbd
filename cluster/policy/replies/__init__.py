"""Replies: what a reply means, and what follows from it."""
