"""What every resource of the API shares: bodies, errors, authentication, and what is served without the framework."""
