"""What other policies would have made of recorded replies: ``postray shaping diff``."""
