"""Simulator: days of power and load against the real planner and governor, without a cluster.

Reading order: `scenario.py` (what is given), `run.py` (the loop), `plant.py` (what is true),
`world.py` (what a policy may see), `policies/`, `bounds/`, `result.py`.
"""
