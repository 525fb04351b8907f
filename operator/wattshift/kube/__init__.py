"""Talking to Kubernetes API servers: one thin client, watches, and the pool of member clusters."""
