"""What is kept and shown: the status book and its documents, events, totals, books, the flight recorder."""
