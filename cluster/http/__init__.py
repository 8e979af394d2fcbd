"""The HTTP server that the API and the page of captured mail share, and what it bounds."""
