"""Large requests to send: read into memory files, worked on by a process of their own, one at a time."""
