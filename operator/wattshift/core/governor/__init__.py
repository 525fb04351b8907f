"""The fast loop: power within the tightest bounds, by the ladder, and capacity back on a veto."""
