"""Decisions about endpoints of webhooks. Pure."""
