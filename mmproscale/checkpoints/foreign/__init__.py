"""Weights of other packages: read, recognised by their keys, and converted by tables.

The tables stand next to the models whose weights they map (`published_keys.py`).
"""

from mmproscale.checkpoints.foreign.conversion import Conversion, convert_weights
from mmproscale.checkpoints.foreign.reading import ForeignFile, read_foreign
from mmproscale.checkpoints.foreign.sources import SOURCES, recognise

__all__ = [
    "SOURCES",
    "Conversion",
    "ForeignFile",
    "convert_weights",
    "read_foreign",
    "recognise",
]
