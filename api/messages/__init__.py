"""/v3/messages: the state of messages, their timelines, and the commands for one message."""
