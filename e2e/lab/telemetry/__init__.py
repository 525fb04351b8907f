"""Telemetry of the lab: the grid clock and a real Prometheus."""
