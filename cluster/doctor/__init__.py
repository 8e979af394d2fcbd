"""``postray doctor``: whether all is well with an installation, running or not."""
