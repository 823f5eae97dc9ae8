"""Shapes: a small, generated panoptic dataset."""
