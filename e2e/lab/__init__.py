"""The lab: real API servers, real processes behind pods, on loopback, without Docker.

`python -m e2e.lab --help` drives it by hand; tests use the fixtures of `fixtures.py`.
Nothing here imports `wattshift`: the lab is the independent truth the product is judged by.
"""
