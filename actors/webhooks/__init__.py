"""The process of webhooks. A cluster has one.

``fanning_out`` reads the event log and writes what each endpoint is owed to the journal, in bundles. ``posting`` leases
bundles that are due, posts them, and settles what came of it. The journal has all that must outlive the process.
"""
