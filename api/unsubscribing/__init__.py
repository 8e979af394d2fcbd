"""/t/u/{token}: the page on which a recipient unsubscribes, and the one-click POST of mail programs (RFC 8058)."""
