"""Mechanisms that change something, one file each. They never decide and never import control."""
