"""Estimates of batches against their real ends: ``python -m benchmarks estimates``."""
