"""Sources of the world outside: signals, engine metrics, power profiles; one file a source.

An adapter fetches and parses and nothing else: schedule, cache, breaker, checks and staleness
belong to `poller.py`. Nothing here imports `control`; clocks and sessions come in as values.
"""
