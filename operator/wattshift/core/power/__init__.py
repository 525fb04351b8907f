"""Watts of replicas, sites and connections: profiles, the estimator, and its reconciliation with the meter."""
