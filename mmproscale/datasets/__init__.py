"""Panoptic datasets in COCO format, what loads their files, and Shapes, which is generated."""

from mmproscale.datasets.panoptic_dataset import PanopticDataset
from mmproscale.datasets.transforms import (
    LoadImage,
    LoadPanoptic,
    LoadSemanticFromPanoptic,
)

__all__ = ["LoadImage", "LoadPanoptic", "LoadSemanticFromPanoptic", "PanopticDataset"]
