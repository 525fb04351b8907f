"""The snapshot as decisions see it: bounds, prices, feeds and placements with verdicts."""
