"""Inference-engine container of the lab: a thin launcher around a real simulator process."""
