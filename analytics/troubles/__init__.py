"""Troubles: what of a time the flight recorder and the events tell afterwards, for ``postray report --about troubles``.

``questions`` asks, ``recorded`` holds the answers, ``of_happenings``, ``of_samples`` and ``of_events`` find in them
what was not as usual, ``effects`` says what that did to mail, ``sections`` draws it, and ``making`` puts all together.
Only ``making`` is given a way to ask; all else is arithmetic over series.
"""
