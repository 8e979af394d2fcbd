"""Pure decisions: facts in, a decision out.

This package does no I/O, reads no clock and draws no random numbers; the time and the jitter are arguments. Actors
gather the facts, call these functions and perform the result. ``tests/unit/test_borders.py`` enforces this.
"""
