"""/v3/user/webhooks and /v3/events: where a tenant's events are posted to, in both dialects, and the feed to pull."""
