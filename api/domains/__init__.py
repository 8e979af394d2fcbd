"""Sender domains over HTTP, in SendGrid's shapes and with our findings."""
