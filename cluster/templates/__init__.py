"""Stored templates: their language, what a version renders to, and the texts derived from it. Without I/O, except where
a module says so."""
