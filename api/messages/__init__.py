"""/v3/messages: where messages stand, what happened to them, and what a client may command of one."""
