"""Faults of a dataset, found and named before training meets them."""
