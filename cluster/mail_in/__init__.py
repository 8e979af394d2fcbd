"""What comes back by mail: reports of delivery, complaints and automatic replies, and what they say. Pure."""
