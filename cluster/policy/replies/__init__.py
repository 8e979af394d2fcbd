"""Replies: what one means, and what follows from it."""
