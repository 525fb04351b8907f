"""wattshift: moves LLM inference between clusters with the power grid, inside its latency objectives."""

__version__ = "0.1.0"
