"""Weights of other packages: read, recognised by their keys, and converted by tables.

The tables stand next to the models whose weights they map (`published_keys.py`).
"""
