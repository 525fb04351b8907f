"""The command line: `wattshift` and `kubectl wattshift`, one command a file."""
