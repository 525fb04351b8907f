"""`make demo`: a day of power over three sites, live, with a report. Uses the product as users do."""
