"""What the DNS and the hosts of policies say, and how long an answer is believed."""
