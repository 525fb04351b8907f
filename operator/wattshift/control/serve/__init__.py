"""What the process answers over HTTP: `/v1` for the CLI, health and metrics."""
