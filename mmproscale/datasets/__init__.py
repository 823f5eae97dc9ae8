"""Datasets: file formats, checks, loading, conversion from other tools, and Shapes."""
