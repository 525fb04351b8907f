"""Benchmarks of the control plane: what the operator costs and how fast it decides.

`python -m e2e.bench.control` is `make bench-control`. Figures go to `bench-results/*.json`; nothing
here is asserted, so a slow machine fails no test.
"""
