"""Several policies on one scenario: run, compared with the bounds, told as JSON, table and page."""
