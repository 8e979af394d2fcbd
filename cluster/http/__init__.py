"""The HTTP server that the API and the page of captured mail share, and its limits."""
