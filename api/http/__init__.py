"""The parts that the resources of the API share: access and authentication, bodies, errors, groups of routes, turns."""
