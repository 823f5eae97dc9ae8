"""Tokens, positions and attention that several parts of a model share."""
