"""What every entry point for mail shares: a prepared request, its commit, and backpressure while there is no room."""
