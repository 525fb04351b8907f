"""What a Snapshot is made of: sites, workloads, prices, events, engines, and what placements point at."""
