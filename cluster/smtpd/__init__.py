"""The SMTP server that the capture sink and the tests share."""
