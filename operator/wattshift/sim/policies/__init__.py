"""Policies: what decides in a simulation. Each sees a Snapshot and returns orders; one file each."""
