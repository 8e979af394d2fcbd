"""The HTTP API for operators: /api/admin."""
