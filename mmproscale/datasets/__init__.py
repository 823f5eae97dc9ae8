"""Datasets in COCO format, what loads their files, and Shapes, which is generated."""

from mmproscale.datasets.instance_dataset import InstanceDataset
from mmproscale.datasets.panoptic_dataset import PanopticDataset
from mmproscale.datasets.transforms import (
    LoadImage,
    LoadInstances,
    LoadPanoptic,
    LoadSemanticFromPanoptic,
)

__all__ = [
    "InstanceDataset",
    "LoadImage",
    "LoadInstances",
    "LoadPanoptic",
    "LoadSemanticFromPanoptic",
    "PanopticDataset",
]
