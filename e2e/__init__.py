"""Whole-product scenarios and the lab they run on. Never imported by the product."""
