"""Operators' commands for a running postray: clients of its HTTP API, with tables of the answers."""
