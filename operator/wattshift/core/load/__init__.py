"""What users ask for and what they get: demand, growth, capacity learnt online, the latency guard."""
