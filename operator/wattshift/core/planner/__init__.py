"""The slow loop: candidates, their price, what keeps them calm, and one decision per workload."""
