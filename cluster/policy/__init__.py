"""Pure decisions: facts in, a decision out.

Nothing here does I/O, reads a clock or rolls dice; the time and the jitter are arguments. Actors gather the
facts, call these functions and perform the result. ``tests/unit/test_borders.py`` holds that border.
"""
