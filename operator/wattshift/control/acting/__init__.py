"""Acts that take more than one write: hand-overs, releases, and yielding to other owners."""
