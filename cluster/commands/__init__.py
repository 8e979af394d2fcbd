"""What an operator does with a running postray: clients of its HTTP API, and tables of what it says."""
