"""What a message may consist of, which the API checks and composing writes: fields, text, encodings."""
