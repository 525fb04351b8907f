"""Engine metrics: what the inference engines of a placement report, direct or by Prometheus."""
