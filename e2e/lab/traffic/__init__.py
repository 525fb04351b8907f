"""Requests of the lab: entry router, distance, clients and the batch dispatcher."""
