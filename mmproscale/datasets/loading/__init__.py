"""Datasets and transforms that read files while a model trains."""

from mmproscale.datasets.loading.instance_dataset import InstanceDataset
from mmproscale.datasets.loading.panoptic_dataset import PanopticDataset
from mmproscale.datasets.loading.transforms import (
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
