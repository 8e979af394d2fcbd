"""What every way in for mail shares: a prepared request, its commit, and backpressure while there is no room."""
