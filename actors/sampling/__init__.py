"""The flight recorder: what the delivery actors hold and how it goes, sampled every ten seconds into ClickHouse.

It runs in the recorder's process. No other part waits for it: where ClickHouse is away, samples are dropped, and
counted.
"""
