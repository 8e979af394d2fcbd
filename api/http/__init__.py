"""The parts that all resources of the API share: bodies, errors, authentication, and routes that bypass Litestar."""
