"""Our objects on the hub: watched, parsed, accepted, kept, and visited one key at a time."""
