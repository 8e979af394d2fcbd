"""The bodies of posts: events in JSON, in the dialect of the endpoint."""
