"""What operators see and do over HTTP: /api/admin."""
