"""Builds the data files that the package ships with its scenarios."""
