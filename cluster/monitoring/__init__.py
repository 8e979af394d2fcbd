"""GET /metrics: the metrics of a node's actors, collected and written as Prometheus reads them.

What is counted is declared where it is counted (cluster/metrics.py).
"""
