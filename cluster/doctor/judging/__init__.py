"""What the facts about an installation mean, and what to do. Pure: facts in, findings out."""
