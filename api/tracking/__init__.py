"""/t/…: what tracked mail leads to, for its recipients. ``serving`` answers, ``recording`` writes the events."""
