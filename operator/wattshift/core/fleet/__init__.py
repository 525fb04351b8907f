"""The optimiser of the planner: classes, costs ahead, dual prices, first-step flow, integers."""
