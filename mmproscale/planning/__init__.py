"""Encoders within a budget: their cost, their latency, and what the papers report of them."""
