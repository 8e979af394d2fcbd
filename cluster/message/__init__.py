"""What a message may contain, which the API checks and composing writes: fields, text, encodings."""
